"""Names nobody has, so that the model learns the place of a name and not a list of names."""

import random

_STARTS = (
    "ad al an ar be bra ca cha da de do e fa fi ga gre ha i ja ka ke la le li ma mi mo na ni o pa "
    "pe qua ra ro sa sha so ta te ti u va vi wa wil ya yo za ze kri ste tho"
)
_MIDDLES = "la ma ni re so ti va li ra de na bri shi ly wi do cu ga be po lle nna rri"
_ENDS = "n na a ra la lyn son den ck sh th s y ie o us er ton ford vich ski sky ez ar el is ia ley"


def invented_names(count: int, seed: int = 1) -> list[str]:
    """`count` different names."""
    rng = random.Random(seed)
    starts, ends = _STARTS.split(), _ENDS.split()
    middles = [*_MIDDLES.split(), "", ""]
    names: dict[str, None] = {}
    while len(names) < count:
        name = rng.choice(starts) + rng.choice(middles) + rng.choice(ends)
        if len(name) > 2:
            names[name] = None
    return list(names)
