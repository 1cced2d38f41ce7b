"""Beginnings of sentences that leave no doubt what is asked for: rules of high precision.

They are tried on masked text, politeness aside, from the first on. What they do not know is the
model's to judge; so a rule that is not sure of itself does not belong here.
"""

import re

_POLITE = re.compile(
    r"^(?:(?:hey|hi|hello|hiya|ok|okay|well|so|now|and|also|then|first|next|right|alright|great|good|thanks|"
    r"thank you|cheers|please|pls|kindly|bot|listen|um|actually|just|quickly|finally|afterwards|after that|oh|but|yeah|yes|(?:show|tell) (?:me|us)(?= (?:who|what|when|which|how|whether|if))|"
    r"morning|evening|good morning|good evening|dear|sorry|excuse me|there|everyone|again|either way|"
    r"(?:(?:can|could|would|will)\s+(?:you|we|u|i)(?:\s+(?:please|kindly|maybe|possibly|quickly|just|"
    r"also))*(?:\s+(?:mind|be able to|manage to|help me(?:\s+to)?))?)|"
    r"(?:i|we)(?:\s+(?:would|'d))?\s*(?:really\s+|also\s+|just\s+)?(?:'d\s+)?(?:want|need|like|love|wish|"
    r"prefer)(?:\s+(?:you|it))?\s+to|i\s+(?:want|need)\s+(?:that\s+)?you|i'd\s+(?:really\s+)?(?:like|love|want|prefer)(?:\s+you)?\s+to|"
    r"let's|lets|let us|always|from now on|for the next call|on the next call|on my next call|i'm (?:begging|asking) you to|go ahead and|be so kind (?:as )?to|be a dear and|do me a favou?r and|"
    r"make sure (?:to|you)|time to|is it possible to|is there a way to|any chance (?:you could|of|i "
    r"could|to)|i'll need you to|you (?:can|may|could|should|must)|i (?:have|'ve got|got) to|help me(?: to)?|try to|feel free to|i wanna|wanna|want to|need to|"
    r"like to|i want|would you be so kind as to|for me)\b[\s,:!.-]*)+"
)
_POLITE_END = re.compile(
    r"(?:[\s,.!?;:]|\b(?:please|pls|thanks|thank\s+you|thx|cheers|mate|now|right\s+now|asap|for\s+me|will\s+you|would\s+you|ok|okay)\b)+$"
)
_ALL = r"(?:(?:all|any|every|each|the|my|our|these|those|of|incoming|inbound|future|new|phone|her|his|their|other|remaining|work|business|private)\s+)*"
_CALLS = rf"{_ALL}(?:calls|callers|(?<=every )call|(?<=any )call|(?<=each )call|(?<=incoming )call|everything|everyone|everybody|anything|anyone|all|phone|line|number|extension|mobile|desk)"
_MOVE = r"(?:forward|redirect|divert|re-?route|route|re-?direct|bounce|relay|deflect)"
_NO_MORE = r"(?:stop|cancel|end|turn\s+off|switch\s+off|disable|deactivate|remove|delete|quit|drop|undo|clear|kill|no\s+more|lift|get\s+rid\s+of|take\s+off|pause|don't|do\s+not|never)"
_MY_NUMBER = r"(?:(?:my|the|our|this)\s+)?(?:own\s+|phone\s+|caller\s*|mobile\s+)*(?:numbers?|caller\s*-?\s*id|id|identity|clid)"
_HIDE = r"(?:hide|hiding|withhold|withholding|mask|masking|conceal|concealing|suppress|suppressing)"
_SHOW = r"(?:show|showing|reveal|display|displaying|unhide|unmask|expose|send|sending|transmit)"
_REMINDERS = r"(?:reminders?|alarms?|wake-?up\s+calls?|wake-?ups?)"
_LIST = r"(?:show|list|display|give|tell|read|see|view|bring up|pull up|open|get|what(?:'s| is| are| were)?|which|check|are there|do i have|have i got|any|find|look up|go through|fetch|print|see if)"
_WHO = r"(?:CONTACTNAME|PHONENUM|EXTNUM|NUM|[a-z][\w'-]*(?:\s+[a-z][\w'-]*)?)"
_ADDRESSEE = r"(?:CONTACTNAME|PHONENUM|EXTNUM|NUM|my\s+[a-z'-]+(?:\s+[a-z'-]+)?|(?!me\b|us\b|the\b|a\b|an\b|it\b|that\b|this\b|you\b|your\b|to\b|in\b|on\b|my\b|all\b|some\b|back\b)[a-z][\w'-]*)"
_DND = r"(?:do\s*-?\s*not\s*-?\s*disturb(?:\s+mode)?|don't\s+disturb(?:\s+mode)?|dnd(?:\s+mode)?|silent\s+mode|quiet\s+mode|busy\s+mode)"
_ON = r"(?:turn(?:ed)?\s+on|switch(?:ed)?\s+on|enable|activate|start|set|put(?:\s+(?:me|us|my\s+(?:phone|line|extension)))?(?:\s+(?:on|in|into|to))?|go(?:\s+(?:on|into))?|use)"

_CUES: tuple[tuple[str, str], ...] = (
    ("callback", r"(?:and\s+|to\s+)*(?:call|ring|phone|buzz|reach|dial)\s+me\b(?:\s+back)?\s*(?:on|at|via|under|to|over)?\s*(?:the\s+|my\s+|number\s+|extension\s+|phone\s+|mobile\s+)*(?:PHONENUM|EXTNUM)$"),
    ("cancel", r"(?:no\s*,\s*)?(?:never\s*mind|forget\s+(?:it|about\s+it|that|the\s+whole\s+thing|everything\s+i\s+said)|drop\s+it|leave\s+it|cancel\s+(?:that|it)$|scrap\s+that|scratch\s+that)\b(?!.{0,40}\b(?:reminder|alarm|call|scenario)|\s+(?:call|one|in))"),
    ("hangup", r"(?:hang\s*up|ring\s+off)(?:\s+(?:the\s+(?:phone|call)|on\s+(?:him|her|them|CONTACTNAME)|this\s+call|my\s+call|it))?$|(?:end|finish|terminate|disconnect|drop|kill|stop|close)\s+(?:the|this|that|my|our)\s+(?:current\s+|phone\s+|video\s+)?call(?:\s+(?:with|to)\s+.{1,30})?$|(?:end|drop|disconnect|cut)\s+(?:all\s+calls?|every\s+calls?|the\s+line|(?:this|the)\s+call\s+off|off\s+(?:this|the)\s+call)$|put\s+(?:the|down\s+the)\s+phone(?:\s+down)?$|stop\s+(?:the\s+|this\s+)?call(?:ing)?\b(?!\s+(?:me|us|forward|record))|bring\s+(?:the|this)\s+call\s+to\s+(?:a\s+stop|an\s+end|a\s+close)|ending\s+(?:the\s+)?call"),
    ("status", r"(?:are|is)\s+(?:all\s+|the\s+|my\s+|our\s+|of\s+|ZONENAME\s+)*(?:lines?|trunks?|extensions?|exchange|pbx|system|everything|service|server|connection|carrier|gateway)\b.{0,20}\b(?:up|down|working|ok|okay|online|running|registered|alive|fine|available|connected)\b"),
    ("help", r"(?:how\s+does\s+(?:this|the|your)\s+(?:bot|thing)?\s*work|how\s+do\s+(?:i|you)\s+(?:use\s+(?:you|this)|work)|what\s+(?:sort|kind|type)s?\s+of\s+things\s+can\s+(?:i|you)|what\s+(?:all\s+)?can\s+(?:you|i)\s+(?:do|say|ask|tell)|what\s+(?:else\s+)?(?:do\s+you|are\s+you\s+able\s+to)\s+(?:do|know\s+how)|(?:show|list)\s+(?:me\s+)?(?:the|your|all)?\s*(?:commands|options|features)|i\s+(?:don't|do\s+not)\s+know\s+how\s+to\s+use|(?:i\s+)?need\s+(?:some\s+)?help\b(?!\s+with\s+my)|what\s+commands)\b"),
    ("yes", r"(?:sure|yes|yep|yeah|ok|okay|right|fine|good)[\s,]+(?:go\s+ahead|do\s+it|do\s+that|please\s+do|that's\s+right|correct)$|(?:go\s+ahead|do\s+it|go\s+for\s+it)$"),
    ("no", r"no[\s,]+(?:don't|do\s+not|not\s+that|stop|please\s+don't|thanks|leave\s+it)(?:\s+do\s+(?:it|that))?$"),
    # ── not disturbed ──
    ("do_not_disturb", rf"(?:{_ON}\s+)?(?:on\s+|in\s+|to\s+|the\s+|my\s+)*{_DND}\b(?:\s+(?:me|us))?(?!\s+(?:bob|CONTACTNAME))"),
    ("do_not_disturb", r".{0,60}[,.;:!]\s*(?:so\s+|and\s+|please\s+)*(?:do\s+not\s+disturb|don't\s+disturb|no\s+calls|hold\s+(?:all\s+)?my\s+calls)\b|(?:you\s+can\s+)?(?:end|leave|exit)\s+(?:the\s+)?(?:dnd|do\s+not\s+disturb)\b"),
    ("do_not_disturb", r"leave\s+me\s+(?:alone|in\s+peace)\b|(?:i\s+want|i\s+need)\s+(?:some\s+)?(?:peace|quiet)\b"),
    ("do_not_disturb", rf"{_NO_MORE}\s+(?:the\s+|my\s+)?(?:{_DND})"),
    ("do_not_disturb", rf"(?:turn|switch|put|take)\s+(?:the\s+|my\s+|me\s+)?(?:off\s+)?(?:of\s+)?{_DND}"),
    ("do_not_disturb", r"(?:don't|do\s+not)\s+(?:let\s+(?:anyone|anybody|people)\s+)?(?:disturb|bother|interrupt|ring|call)\s+me\b(?!\s+(?:on|at|back|again\s+about))"),
    ("do_not_disturb", r"(?:no(?=\s+(?:more\s+|incoming\s+|phone\s+)*calls(?:\s+(?:until|till|before|for|today|tonight|please|now|TIMEEXPR)|$))|hold\s+(?:all\s+)?(?:of\s+)?(?:my|the)?|block\s+all|silence\s+(?:all\s+)?(?:my|the)?|mute\s+all(?:\s+my)?|stop\s+all)\s*(?:incoming\s+|phone\s+|more\s+)?calls\b(?!\s+(?:from|to|with|before\s+every))"),
    ("do_not_disturb", r"(?:i'm\s+|i\s+am\s+)?(?:currently\s+)?(?:unavailable|not\s+available)\b.{0,25}$"),
    ("do_not_disturb", r"(?:i'm|i\s+am|mark\s+me(?:\s+as)?|set\s+me(?:\s+(?:as|to))?|show\s+me\s+as|make\s+me|put\s+me(?:\s+as)?)\s+(?:no\s+longer\s+|not\s+|un)(?:available|reachable|disturbed|to\s+be\s+disturbed)\b"),
    ("do_not_disturb", r"(?:mark|set|show|make|put)\s+(?:me|my\s+status|my\s+availability|myself)(?:\s+(?:as|to))?\s+(?:as\s+)?(?:busy|away|unavailable|available|not\s+available|free|offline|back\s+online|reachable)\b"),
    ("do_not_disturb", r"(?:i'm|i\s+am)\s+(?:available|reachable|free\s+for\s+calls)\s+(?:again|now|for\s+calls)\b|you\s+(?:can|may)\s+(?:disturb|ring)\s+me\s+again|let\s+(?:my\s+)?calls\s+(?:through|in)(?:\s+again)?\b|i\s+can\s+(?:take|be\s+disturbed|be\s+reached|receive)\s*(?:calls)?\s+again"),
    ("statistics", r"(?!.{0,40}\brecordings?\b).{0,80}\b(?:csv|spreadsheet)\b"),
    # ── reminders ──
    ("edit_reminder", r"add\s+.{1,40}\s+to\s+(?:the\s+|my\s+)?(?:[\w'-]+\s+){0,3}(?:reminder|alarm)\b"),
    ("remind", r"add\s+.{1,60}\s+(?:to|in)\s+(?:the\s+|my\s+)?reminders\b|(?:i\s+(?:must|should|have\s+to)\s+)?remember\s+to\b|tell\s+me\s+to\b"),
    ("remind", r"set\s+(?:the|my|an|a)?\s*(?:[\w'-]+\s+)?(?:alarm|reminder)s?\s+(?:for|to|at|TIMEEXPR)\b(?!.{0,40}\binstead)"),
    ("remind", r"(?!.{0,80}\b(?:did|didn't|why|forgot|said|told|always|never|who)\b|(?:what|which|when|how|do|does|is|are|don't)\b).{3,90}?[\s,;.!?]\s*(?:can\s+you\s+|could\s+you\s+|please\s+)*(?:remind\s+me\s+(?:to|about|of|that|at|in|TIMEEXPR)|(?:alert|notify)\s+me\s+(?:TIMEEXPR|\d|NUM|an?\s))"),
    ("reminders", r"(?:is|are)\s+(?:my|the|an|any)\s+(?:[\w'-]+\s+){0,2}alarms?\s+(?:set|on)\b|(?:confirm|check)\s+(?:my\s+|the\s+|if\s+.{0,20})?alarms?\b|(?:check|see)\b.{0,20}\bset\s+(?:my\s+|an\s+)?alarm\b|how\s+(?:much|long)\b.{0,30}\b(?:on|until|till|before)\s+(?:my|the)\s+(?:\w+\s+)?alarm"),
    ("calendar", r"(?:sync|subscribe|connect|link|import|add|follow|hook\s+up|use|load|watch|read|track|fetch|integrate)\b.{0,40}\b(?:calendar|ical|ics|caldav|LINKTEXT)"),
    ("calendar", rf"{_NO_MORE}\b.{{0,40}}\b(?:calendar|before\s+(?:my|every|each|all)?\s*(?:meetings?|appointments?|events?))"),
    ("calendar", r"(?:unsubscribe|disconnect|unlink|forget|detach)\b.{0,30}\bcalendar"),
    ("calendar", r"(?:call|ring|phone|buzz|alert|notify|warn|give)\s+me\b.{0,50}\b(?:before|ahead\s+of|prior\s+to)\s+(?:every|each|all|any|my)\b.{0,20}\b(?:meetings?|appointments?|events?|calendar\s+\w+|entr(?:y|ies))"),
    ("calendar", r"(?:here\s+is|here's|this\s+is)\s+my\s+calendar\b"),
    ("calendar", r"(?:before|ahead\s+of)\s+(?:every|each)\s+(?:meeting|appointment|event)\b.{0,20}\b(?:call|ring|phone)\s+me"),
    ("cancel_reminder", r"(?:no\s+need\s+to|you\s+(?:don't\s+(?:need|have)\s+to|needn't|can\s+stop)|no\s+longer)\s+remind(?:ing)?\s+me\b"),
    ("cancel_reminder", rf"(?:no\s+more|deleted)\s+(?:\w+\s+)*{_REMINDERS}\b"),
    ("cancel_reminder", rf"(?:cancel|delete|remove|clear|drop|erase|get\s+rid\s+of|forget|kill|scrap|take\s+off|turn\s+off|switch\s+off|dismiss|disable|stop|undo|discard|wipe)\b.{{0,60}}\b{_REMINDERS}\b"),
    ("cancel_reminder", r"(?:cancel|delete|remove|drop|scrap|forget(?:\s+about)?)\s+(?:the|my|that)\s+(?:[\w'-]+\s+){1,4}one\b"),
    ("cancel_reminder", r"(?:stop|quit)\s+(?:reminding|nagging|waking)\s+(?:me|us)\b|(?:don't|do\s+not)\s+remind\s+me\b.{1,50}\b(?:any\s?more|again|tomorrow|TIMEEXPR)\b|i\s+(?:don't|no\s+longer)\s+need\b.{0,40}\breminders?|(?:don't|do\s+not)\s+wake\s+me"),
    ("edit_reminder", rf"(?:move|change|shift|reschedule|push|update|edit|postpone|delay|bring\s+forward|adjust|rename|modify|snooze|alter|correct|switch)\b.{{0,60}}\b(?:{_REMINDERS}|(?:[\w'-]+\s+)one|dentist|appointment)\b.{{0,60}}\b(?:to|for|at|by|until|TIMEEXPR|from|say|instead|back|forward|earlier|later)\b"),
    ("edit_reminder", rf"(?:put|set|make)\s+(?:the|my|that)\s+(?!alarm|reminder|wake)(?:[\w'-]+\s+){{1,4}}?(?:{_REMINDERS}|one)\s+(?:back\s+)?(?:to|for|at|TIMEEXPR)\b|(?:the|my)\s+(?:[\w'-]+\s+){{1,3}}reminder\s+should\b"),
    ("edit_reminder", r"(?:move|reschedule|postpone|push|shift)\s+(?:the|my)\s+(?:[\w'-]+\s+){1,4}(?:back\s+)?(?:to|till|until|by)\s+TIMEEXPR"),
    ("edit_reminder", rf"remind\s+me\s+(?:of|about)\s+.{{1,40}}\binstead\b|(?:rename|reword)\s+.{{0,40}}\b{_REMINDERS}"),
    ("reminders", rf"{_LIST}\s+(?:me\s+)?(?:(?:about|of|out|through|on|to)\s+)?(?:(?:all|any|the|my|our|of|upcoming|pending|next|me|i|have|set|current|active|other|own|are|is|there|today's|tomorrow's|PASTTIME|TIMEEXPR|'s)\s+)*(?:(?!an?\b)[\w'-]+\s+){{0,2}}{_REMINDERS}\b"),
    ("reminders", rf"(?:what|which|when|how\s+many|do\s+i\s+have|are\s+there|have\s+i|did\s+i|is\s+there|have\s+you|what\s+am\s+i|anything)\b.{{0,40}}\b(?:{_REMINDERS}|being\s+reminded|to\s+be\s+reminded|remind(?:ing)?\s+me)\b"),
    ("reminders", r"(?:my\s+|all\s+|list\s+)*(?:reminders|alarms)\s*(?:list|for\s+\w+|TIMEEXPR|,|\?)*$"),
    ("remind", rf"remind\s+(?:me|us|myself|{_ADDRESSEE})\b"),
    ("remind", r"(?:TIMEEXPR[\s,]+)?give\s+me\s+a\s+(?:ring|call|buzz|shout)\b.{0,40}\bremind\s+me\b"),
    ("remind", r"(?:set|create|make|add|schedule|new|set\s+up|give\s+me|book|arrange|put|have|order|need|want|i\s+need|i\s+want|start|plan)\s+(?:in\s+|up\s+|me\s+)*(?:a\s+|an\s+|another\s+|the\s+|my\s+|me\s+)*(?:(?!calls?\b)[\w'-]+\s+){0,2}(?:reminder|alarm|wake-?\s?up(?:\s+call)?)\b"),
    ("remind", r"(?:wake|rouse)\s+(?:me|us)\b|get\s+me\s+up\b(?!\s+to\s+speed)|(?:call|ring|phone|ping|nudge)\s+me\b.{0,60}\b(?:to\s+remind|and\s+remind|to\s+wake|with\s+a\s+reminder|as\s+a\s+reminder)\b"),
    ("remind", rf"(?:call|ring|phone)\s+{_WHO}\b.{{0,40}}\b(?:to|and)\s+remind\s+(?:him|her|them|CONTACTNAME)\b"),
    ("remind", r"(?:don't|do\s+not|never)\s+let\s+me\s+forget\b|(?:nudge|ping|poke|alert|notify)\s+me\b.{0,40}\b(?:TIMEEXPR|to|about)\b|make\s+sure\s+i\s+(?:don't\s+forget|remember)\b"),
    ("remind", r"(?:wake-?up\s+call|alarm|reminder)\s*(?:,|:|for|at|to|about|TIMEEXPR)"),
    ("remind", r"TIMEEXPR[\s,:-]+(?:please\s+)?(?:remind|wake)\s+me\b|by\s+(?:phone|call)[\s,]+remind\s+me"),
    # ── messages ──
    ("message", rf"(?:text|sms|message|msg|whatsapp|dm)\s+(?!call|video|voice|as\b|my\s+default)(?:to\s+)?{_ADDRESSEE}\b"),
    ("message", r"ask\s+(?!me\b|you\b|us\b|google|siri|alexa|for\b|about\b|the\s+(?:audience|question))(?:CONTACTNAME|my\s+\w+|[a-z][\w'-]+)\s+(?:what|when|if|whether|to|for|about|how|where|who|why)\b"),
    ("message", r"(?:tell|text|message|write|let)\s+(?:him|her|them)\b(?!\s+(?:go|in|on\s+hold|through|off|be\b|down|know\s+my\s+location))"),
    ("message", r"(?:send|write|drop|shoot|fire\s+off|compose|type|leave)\s+(?:off\s+)?(?:out\s+)?(?:a\s+|an\s+|the\s+|this\s+|another\s+)?(?:quick\s+|short\s+|new\s+|text\s+)*(?:text|sms|message|msg|note|(?<=a )line)\b(?!\s+(?:number|line))"),
    ("message", rf"(?:send|write|drop|shoot)\s+{_ADDRESSEE}(?:\s+[a-z'-]+)?\s+(?:a|an|the|this)\s+(?:quick\s+|short\s+)?(?:text|sms|message|msg|note|line)\b"),
    ("message", rf"(?:let)\s+{_ADDRESSEE}(?:\s+[a-z'-]+)?\s+know\b"),
    ("message", r"(?:tell|inform|notify)\s+(?:CONTACTNAME|PHONENUM|EXTNUM|my\s+(?!about)[a-z'-]+)\b(?!\s+to\s+call\s+me\s+back\s+on\s+EXTNUM$)"),
    ("message", r"(?:send|text|write)\s+[\"'].{1,200}[\"']\s+to\b|(?:write|say|send)\s+(?:to\s+)?CONTACTNAME\b\s*[:,]?|(?:say|reply)\b.{1,80}\bto\s+CONTACTNAME$"),
    # ── money ──
    ("scenario", r"(?:when|whenever|if|every\s+time|each\s+time|once|as\s+soon\s+as)\s+i\s+(?:call|dial|ring|phone|key|type|enter)\b.{0,60}"),
    ("scenario", r"(?:make|create|set\s+up|add|new|build|define|save|configure|record|program|delete|remove|cancel|disable|enable|turn\s+(?:on|off)|switch\s+(?:on|off)|deactivate|activate|stop|pause|run|start|edit|i\s+want)\s+(?:a\s+|the\s+|my\s+|another\s+|new\s+|up\s+|me\s+)*(?:[\w'-]+\s+){0,2}(?:scenario|macro|shortcut|automation|speed\s*-?dial\s+action)"),
    ("scenario", r"(?:scenario|shortcut)\b|(?:dialling|dialing|calling|calls?\s+to)\s+(?:STARCODE|EXTNUM|PHONENUM)\b.{0,50}\b(?:should|must|shall|will|ought)\b|(?:if|when|whenever)\b.{0,20}\b(?:STARCODE)\b|(?:make|let|have|use)\s+STARCODE\b"),
    ("send_money", r"(?:send|transfer|pay|wire|give|move|donate|forward|remit|shift)\b.{0,60}\b(?:AMOUNT\b.{0,40}\b(?:to|WALLETADDR)|WALLETADDR|(?:waves|ett|tokens?|crypto|money|coins?)\s+to\b)"),
    ("send_money", r"make\s+a\s+(?:payment|transfer)\b(?!.{0,30}\b(?:card|bill|loan))|to\s+WALLETADDR[\s,]+(?:send|pay|transfer)\b"),
    ("send_money", r"(?:send|transfer|pay|wire|give|donate)\s+(?:him\s+|her\s+|them\s+|CONTACTNAME\s+)?(?:(?:some|a\s+few|of|my)\s+)*(?:AMOUNT|money|crypto|waves\b|ett\b|tokens?\b|funds)|(?:pay|payment\s+of)\s+AMOUNT\b|(?:send|transfer)\s+NUM\s+to\s+WALLETADDR"),
    ("top_up", r"(?:top\s*-?\s*up|topup|recharge|refill|reload|fund|load|charge\s+up|credit|fill\s+up)\b(?!\s+card)"),
    ("top_up", r"(?:add|put|deposit|buy|pay\s+in|load|pay|get\s+me|purchase)\b\s*(?:in\s+|another\s+|more\s+|some\s+|me\s+|about\s+|up\s+)*(?:AMOUNT|credit|money|funds|balance|ett\b|waves\b|call\s+credit)"),
    ("top_up", r"(?:i|we)\s*(?:'d|'ll|\s+want|\s+would|\s+need|\s+will)?\s*(?:like\s+to\s+|want\s+to\s+)?(?:top\s*up|add\s+(?:some\s+)?(?:credit|money|funds)|pay\s+in)"),
    ("tariff", r"(?:move|switch|change|put|upgrade|downgrade|sign|set|transfer|take|migrate|go|swap|bump)\b.{0,40}\b(?:plan|tariff|package|pay[\s-]as[\s-]you[\s-]go|pre-?paid|subscription|payg|rate\s+plan)\b"),
    ("tariff", r"(?:what(?:'s|\s+is|\s+are|\s+does|\s+do)?|how\s+much|show|tell|which|list|give|explain|do\s+you)\b.{0,50}\b(?:tariffs?|(?:my|your|the|our|which|what|other|available|calling|monthly|phone)\s+plans?(?!\s+(?:is|called|for\s+(?:the|today)))|calling\s+rates?|call\s+rates?|your\s+(?:rates|prices|pricing)|(?:calls?|calling|minute|text|sms)\b.{0,30}\bcosts?|costs?\b.{0,30}\b(?:calls?|minutes?|ZONENAME|per\s+minute)|charge\s+(?:me\s+)?(?:for|per))\b"),
    ("tariff", r"(?:which|what)\s+(?:plan|tariff)\s+(?:am|are)\s+(?:i|we)\s+on|what\s+(?:are\s+you|do\s+you)\s+charg(?:ing|e)\b"),
    ("tariff", r"(?:my\s+)?(?:tariff|tariffs|prices|pricing|rates|plans|the\s+(?:monthly|yearly|annual)\s+plan)(?:\s+please)?$|how\s+much\s+(?:is|does)\s+(?:it\s+(?:cost\s+)?to\s+call|a\s+call|calling|a\s+minute)"),
    ("balance", r"(?:what(?:'s|\s+is)|whats|show|check|tell|give|how(?:'s|\s+is)|see|display|view|get)?\s*(?:me\s+)?(?:the\s+|my\s+|our\s+|current\s+|account\s+|remaining\s+|call\s+|ett\s+|waves\s+|phone\s+)*(?:balance|credit|funds)\b(?!\s+(?:card|score|limit|report|for\s+my|sheet|transfer|on\s+my\s+(?:\w+\s+)?card|at\s+\w+|union))(?:\s+(?:please|left|remaining|now|do\s+i\s+have|looking|like|i\s+have|have\s+i(?:\s+got)?|is\s+left|status))*\W*$"),
    ("balance", r"how\s+(?:much|many)\s+(?:(?:money|credit|ett|waves|tokens?|funds|balance|minutes?|is|call\s+time)\s+)*(?:do|have|is|are|did)\s*(?:i|we|there|my|left|still)?\b.{0,30}\b(?:have|left|remain(?:s|ing)?|got|on\s+my\s+account|in\s+my\s+account)\b(?!.*\b(?:spent|bank|checking|savings|pto|days|vacation)\b)"),
    ("balance", r"what(?:'s|\s+is|\s+do\s+i\s+have)\s+left\s+(?:of|on|in)\s+my\s+(?:credit|account|balance|money)"),
    ("balance", r"(?:am|are)\s+(?:i|we)\s+(?:running\s+(?:low|out)|out\s+of\s+(?:credit|money))|do\s+i\s+(?:still\s+)?have\s+(?:enough|any)\s+(?:credit|money|ett|waves|funds)"),
    # ── hidden numbers ──
    ("hide_number", rf"(?:{_HIDE}|{_SHOW})\s+(?:them\s+|him\s+|her\s+|people\s+)?{_MY_NUMBER}\b(?!\s+to\s+(?:CONTACTNAME|bob)|\s+of\b|\s+for\b(?!\s+(?:the|my|this|that|all|every|one|now|future)))"),
    ("hide_number", rf"(?:don't|do\s+not|stop|never|no\s+longer|quit)\s+(?:{_HIDE}|{_SHOW}|give|giving|share|disclose|let\b.{{0,20}}\bsee)\s+(?:out\s+|them\s+)?{_MY_NUMBER}"),
    ("hide_number", rf"(?:make|keep|set|turn|switch|go|call|be|appear|have)\s+(?:{_MY_NUMBER}\s+|my\s+(?:next\s+)?calls?\s+)?(?:on\s+|off\s+|to\s+)?(?:hidden|private|anonymous|withheld|visible|invisible|incognito|secret|anonymously|shown|public)\b(?!\s+(?:call\s+to|room))"),
    ("hide_number", r"(?:turn|switch)\s+(?:on|off)\s+(?:the\s+|my\s+)?(?:number\s+hiding|caller\s*-?id|anonymous\s+\w+|hidden\s+number|number\s+display|anonymity|privacy)|(?:turn|switch)\s+(?:my\s+|the\s+)?caller\s*-?id\s+(?:on|off)|i\s+don't\s+want\s+.{0,20}\bsee\s+my\s+number|(?:i\s+don't|nobody\s+should|no\s+one\s+should|they\s+shouldn't)\s+(?:want\s+(?:them|him|her|people|anyone)\s+to\s+)?see\s+my\s+number|(?:enable|disable|activate|deactivate)\s+(?:my\s+)?(?:caller\s*-?id|hidden\s+number|number\s+hiding|anonymous\s+call\w*)"),
    # ── blocking ──
    ("unblock", r"(?:un-?block|unban|whitelist|un-?blacklist|unbar)\b|(?:remove|take|delete)\s+.{1,40}\b(?:from|off|of)\s+(?:the\s+|my\s+)?(?:block(?:ed)?\s*-?list|blacklist|blocked|block)\b|(?:let|allow)\s+.{1,30}\b(?:call|ring|phone|reach|through|calls)\b.{0,20}\b(?:again|back\s+in)\b|(?:let|allow)\s+(?:calls\s+from\s+)?(?:CONTACTNAME|PHONENUM|EXTNUM)\s+(?:again|through\s+again|back)|stop\s+blocking\b|(?:accept|take)\s+calls\s+from\s+.{1,30}\bagain"),
    ("block", r"(?:block|blacklist|ban|bar|blocklist|reject\s+(?:all\s+|any\s+|future\s+)?calls\s+from|ignore\s+(?:all\s+|any\s+|future\s+)?(?:the\s+)?calls\s+from|refuse\s+(?:all\s+|any\s+)?calls\s+from|decline\s+(?:all\s+|any\s+)calls\s+from)\s+(?!my\s+(?:number|caller)|all\s+calls\b|calls\b(?!\s+from))"),
    ("block", r"(?:add|put)\s+.{1,30}\b(?:to|on)\s+(?:the\s+|my\s+)?(?:block(?:ed)?\s*-?list|blacklist)|(?:never|don't|do\s+not)\s+(?:ever\s+)?(?:let|allow|put\s+through|accept\s+calls\s+from|take\s+calls\s+from)\s+.{1,30}\b(?:call|ring|phone|reach|through|again|calls)\b|no\s+more\s+calls\s+from\b|stop\s+(?!forward|divert|redirect).{1,30}\bfrom\s+(?:calling|ringing|phoning|bothering)\s+me"),
    # ── recordings, answerphone ──
    ("recordings", rf"{_LIST}\s+(?:me\s+)?(?:(?:the|all|any|my|our|of|last|latest|list|recent|every|out|to|i|have|there|a|some|were|made|PASTTIME|TIMEEXPR|'s|CONTACTNAME)\s+)*(?:call\s+|audio\s+|phone\s+)?(?:recordings?|recorded\s+calls?|calls?\s+(?:i|we|you)\s+recorded)\b"),
    ("recordings", r"(?:let\s+me\s+(?:hear|listen\s+to)|where\s+(?:can\s+i\s+find|are|is)|can\s+i\s+(?:hear|listen\s+to|have)|.{1,60}[,;]\s*can\s+i\s+(?:hear|listen\s+to))\b.{0,40}\b(?:recordings?|recorded\s+calls?)\b"),
    ("recordings", r"(?:play|send|download|export|find|open|listen\s+to|hear|get|fetch|forward|email|share|where(?:'s|\s+is|\s+are))\b.{0,60}\b(?:recordings?|recorded\s+(?:calls?|conversations?)|(?:call|conversation)s?\s+(?:i|we|you)\s+recorded)\b"),
    ("recordings", r"(?:my\s+|all\s+)?(?:call\s+)?recordings\b(?!\s+(?:on|off))"),
    ("record", rf"(?:{_NO_MORE}|start|begin|keep|resume|always|now)\s+(?:on\s+)?(?:record|recording|taping|the\s+recording|call\s+recording)\b|(?:record|tape)\s+(?:it|this|that|the|my|all|every|us|everything|our|any|me|calls?|both|him|her|next|of|only)\b(?!.{{0,30}}\bgreeting\b)|recording\s+(?:on|off|please)|(?:turn|switch)\s+(?:on|off)\s+(?:the\s+|call\s+)?recording|(?:turn|switch)\s+(?:the\s+|call\s+)*recording\s+(?:on|off)|record$|(?:make|take)\s+a\s+recording\s+of\b|(?:enable|disable|activate|deactivate)\s+(?:the\s+|call\s+)?recording|from\s+now\s+on[\s,]+(?:please\s+)?record"),
    ("voicemail", r"(?:has|have|did)\s+(?:anyone|anybody|someone|CONTACTNAME|my\s+\w+|\w+)\s+(?:left|leave)\s+(?:me\s+)?(?:a|any)\s+(?:voice\s*)?(?:message|mail)s?"),
    ("voicemail", r"(?:play|listen|hear|check|read|show|list|get|any|are\s+there|do\s+i\s+have|have\s+i|did|what|which|who|open|retrieve|give|tell|is\s+there|let\s+me\s+hear|skip|next|how\s+many|delete|see|fetch)\b.{0,60}\b(?:voice\s*-?mails?|voice\s+messages?|answer(?:ing)?\s*-?\s*(?:phone|machine)|messages?\s+(?:on|in)\s+(?:my|the)\s+(?:answer|mailbox|machine)\w*|mailbox|vm)\b"),
    ("voicemail", r"(?:my\s+|new\s+|latest\s+|last\s+)*(?:voice\s*-?mails?|vm|answerphone|mailbox)\b(?!\s+(?:on|to|greeting))|(?:play|listen\s+to|hear)\s+(?:me\s+)?(?:the\s+|my\s+|all\s+|any\s+)*(?:last|latest|new|newest|first|next|old|saved|unheard|PASTTIME)?\s*(?:CONTACTNAME(?:'s)?\s+)?messages?\b|did\s+(?:anyone|anybody|someone|CONTACTNAME|\w+)\s+leave\s+(?:me\s+)?(?:a|any)\s+(?:voice\s+)?messages?|what\s+did\s+\w+\s+say\s+(?:on|in)\s+"),
    # ── statistics, tracking ──
    ("tracking_number", r"(?:assign|allocate)\s+(?:me\s+)?(?:a|an|another)\s+(?:new\s+)?number\s+to\b"),
    ("tracking_number", r"(?:give|get|i\s+need|i\s+want|create|set\s+up|make|add|assign|allocate|generate|new|order|rent|reserve|need|want|have|open)\s+(?:me\s+|us\s+|another\s+)*(?:a|an|one|some|the|another|new)?\s*(?:\w+\s+){0,3}numbers?\s+(?:to\s+(?:track|put\s+on|use\s+(?:on|in|for))|for\s+(?:the|our|my|a|tracking|this|an)\b|that\s+tracks)"),
    ("tracking_number", r".{0,40}\b(?:tracking|tracked|trackable)\s+(?:phone\s+)?numbers?\b(?!.{0,30}\b(?:package|parcel|order|do|doing|perform|stat))|(?:track|measure)\s+(?:the\s+)?(?:calls|responses)\b.{0,20}\b(?:from|for|to|of)\b.{0,40}\b(?:ad|ads|advert|campaign|flyer|leaflet|poster|billboard|newsletter|website|brochure)|(?:a|new|another)\s+(?:new\s+)?number\s+for\s+(?:the|our|my)\b"),
    ("statistics", r".{0,40}\b(?:statistics|stats|figures|call\s+(?:report|volume|data)|analytics|performance|csv)\b(?!.{0,20}\b(?:football|sport))"),
    ("statistics", r"how\s+(?:did|is|are|was|were|has|have|well|many\s+calls)\b.{0,50}\b(?:numbers?|ads?|adverts?|campaigns?|posters?|flyers?|leaflets?|billboards?|newsletters?|line|calls|banner)\b.{0,30}\b(?:do|doing|perform\w*|get|got|bring|brought|did|run|go|going|done|work\w*|received?|come|generate\w*|PASTTIME|last|this|from|fare|faring)\b|how\s+many\s+(?:calls|people|callers)\b.{0,40}\b(?:number|ad|advert|campaign|poster|flyer|leaflet|banner|newsletter|billboard)\b|(?:chart|graph|plot|draw|diagram)\b.{0,30}\b(?:calls?|number|ad|campaign)|(?:download|export|give|send)\b.{0,30}\b(?:as\s+(?:a\s+)?csv|call\s+statistics)|(?:show|give|draw)\s+(?:me\s+)?(?:a|the)\s+(?:chart|graph)\b"),
    # ── history ──
    ("history", r"(?:who(?:'s|\s+has|\s+did|\s+have)?|whom|which\s+\w+|what\s+number|did|has|have\s+(?:i|we)|when\s+did|what\s+time\s+did|how\s+often|how\s+many\s+times|when\s+was)\b(?!\s+(?:i\s+call|someone)).{0,40}\b(?:call(?:ed|s)?|r[ai]ng|phoned?|ring(?:ing)?|tried\s+to\s+(?:call|reach|ring|phone)|try\s+to\s+(?:call|reach|ring)|reach(?:ed)?|dialled|dialed|missed?|speak\s+(?:to|with)|spoke\s+(?:to|with)|talk(?:ed)?\s+(?:to|with))\b(?!\s+(?:you|him\s+a|her\s+a|it\b|duty|a\b|the\s+(?:police|book|movie|film|song)))"),
    ("history", r"(?:from\s+)?who(?:m)?\s+is\s+(?:this|that|the)\s+(?:incoming\s+)?call|what\s+time\s+did\s+.{1,30}\s+(?:video\s+(?:chat|call)|call|ring|phone)\s+(?:with\s+)?me|find\s+(?:me\s+)?.{0,20}\bcalls\b"),
    ("history", r"(?:show|list|display|give|tell|see|view|check|get|bring\s+up|what(?:'s|\s+were|\s+are|\s+is)?|any|are\s+there|were\s+there|do\s+i\s+have|have\s+i|did\s+i|let\s+me\s+see|pull\s+up|how\s+many|read|open|find|which|print|all)\b.{0,50}\b(?:call\s+(?:history|logs?|list|journal|record\b)|missed\s+(?:\w+\s+)?calls?|(?:recent|past|latest|previous|last|incoming|outgoing|received|dialled|dialed|unanswered|PASTTIME)(?:\s+[\w']+)?\s+calls?|calls?\s+(?:from|with|to|for|in|of|since|PASTTIME|this|last|today|on|that\s+i\s+(?:missed|made|had)|i\s+(?:missed|made|had|got)|did|we\s+had))\b"),
    ("history", r"(?:my\s+|the\s+|recent\s+|all\s+)*(?:missed\s+calls?|call\s+(?:history|logs?)|recent\s+calls|call\s+list)\b(?!\s+(?:to|me))|what\s+calls\b|miss(?:ed)?\s+(?:any|some)\s+calls|did\s+i\s+miss\s+(?:any|some|a)\b|have\s+i\s+missed\s+(?:any|some|a)\b"),
    # ── contacts ──
    ("contact_remove", r"(?:i\s+)?(?:don't|do\s+not|no\s+longer)\s+need\s+.{1,30}\bin\s+(?:my\s+|the\s+)?contacts|(?:remove|delete|erase|forget|drop|take|kick|wipe|clear|get\s+rid\s+of)\s+.{1,50}\b(?:from|out\s+of|off|in)\s+(?:my\s+|the\s+|your\s+)?(?:contacts?(?:\s+list)?|address\s*-?book|phone\s*-?book|list)|(?:remove|delete|erase|forget)\s+(?:the\s+|my\s+)?(?:contact|entry)\b|(?:delete|remove|forget|erase)\s+CONTACTNAME(?:'s\s+(?:number|contact|entry))?\W*$|(?:forget|delete|remove)\s+(?:the\s+)?number\s+(?:of|for)\s+|(?:delete|remove|erase)\s+[\w' ]{1,30}'s\s+(?:contact|number|entry)"),
    ("contact_add", r"(?:save|store|add|remember|note\s+down|put|keep|create|register|note|record|enter)\s+(?:down\s+)?.{0,60}\b(?:as\b.{0,30}(?:PHONENUM|EXTNUM|NUM|[a-z])|(?:to|in|into|under)\s+(?:my\s+|the\s+|your\s+)?(?:contacts?|address\s*-?book|phone\s*-?book)|contact\b)"),
    ("contact_add", r"(?:save|store|remember)\s+(?:this\s+|the\s+|that\s+)?(?:new\s+)?(?:number\s+)?(?:PHONENUM|EXTNUM|CONTACTNAME)|(?:new|add\s+(?:a\s+)?(?:new\s+)?)\s*contact\b|(?!my\b|the\s+number\b)[a-z][\w' ]{0,25}'s\s+(?:new\s+)?(?:phone\s+|mobile\s+|cell\s+|phone|mobile)?(?:number|extension|phone|mobile)\s+(?:is|=|:)\s+(?:now\s+)?(?:PHONENUM|EXTNUM)|CONTACTNAME\s*(?:'s)?\s+(?:new\s+)?(?:phone\s+|mobile\s+)?(?:number|extension)?\s*(?:is|=|:)\s+(?:now\s+)?(?:on\s+)?(?:PHONENUM|EXTNUM)$|(?:add|save|store)\s+[\w' ]{1,30}[,:]?\s+(?:number\s+|with\s+(?:the\s+)?(?:number\s+)?|at\s+|on\s+|under\s+)*(?:PHONENUM|EXTNUM)"),
    ("contacts", r"(?:show|list|who\s+are)\s+(?:me\s+)?(?:all\s+)?(?:of\s+)?(?:the\s+)?(?:people|numbers|names|everyone|everybody)\s+(?:that\s+)?(?:i|you|we)(?:'ve|\s+have)?\s+saved"),
    ("contacts", r"(?:show|list|display|see|view|open|give|what(?:'s|\s+is|\s+are)|who(?:'s|\s+is|\s+are|\s+do)?|which|read|print|go\s+through|let\s+me\s+see|do\s+you\s+have|tell)\b.{0,30}\b(?:contacts?(?:\s+list)?|address\s*-?book|phone\s*-?book|numbers\s+(?:have\s+you|do\s+you\s+have|i)\s+saved?|in\s+my\s+contacts|saved\s+numbers)\b|(?:my\s+)?(?:contacts?|address\s*-?book|phone\s*-?book)(?:\s+(?:list|please))*\W*$|what(?:'s|\s+is)\s+CONTACTNAME(?:'s)?\s+(?:phone\s+|mobile\s+)?number"),
    # ── phones, people ──
    ("add_device", r".{0,40}\bqr\s*-?\s*code\b"),
    ("devices", r"(?:show|list|display|see|view|which|what|how\s+many|are|do\s+i|check|give|tell|who|is\s+my)\b.{0,40}\b(?:devices?|phones|softphones?|handsets?|sip\s+(?:phones?|clients?))\b(?!\s+(?:number|up|call))(?!.{0,20}\b(?:set\s+up|add)\b)|(?:my\s+)?(?:devices|phones|registered\s+(?:phones|devices))(?:\s+please)?\W*$"),
    ("add_device", r"(?:set\s*-?up|add|register|connect|configure|install|provision|link|pair|enrol+|hook\s+up|activate)\s+(?:a\s+|an\s+|my\s+|the\s+|another\s+|this\s+|new\s+|second\s+|up\s+|our\s+|me\s+)*(?:[\w'-]+\s+){0,3}(?:phone|softphone|device|handset|zoiper|linphone|tablet|ipad|iphone|android|laptop|app|client|sip\s+\w+|desk\s*-?phone|x-lite|baresip|computer|mobile|pc|gateway)\b(?!\s+(?:call|number)|.{0,40}\b(?:PHONENUM|EXTNUM))|(?:.{0,30}\b)?qr\s*-?\s*code\b|new\s+(?:phone|device|softphone)\b(?!\s+number)|i\s+(?:got|have|bought|'ve\s+got)\s+a\s+new\s+(?:phone|handset|softphone)\b.{0,30}\b(?:set|add|connect|configure)|(?:how\s+do\s+i\s+)?(?:get|log)\s+(?:my\s+)?(?:phone|zoiper|linphone|softphone)\s+(?:connected|online|registered|in)"),
    ("invite", r"(?:invite|send\s+(?:an?\s+)?invit(?:e|ation)|(?:make|create|generate|get|give)\s+(?:me\s+)?(?:an?\s+|the\s+)?invit(?:e|ation)|let\s+\w+\s+(?:\w+\s+)?join\b(?!\s+(?:the|this|our)\s+(?:call|conference))|give\s+.{1,30}\baccess\b|onboard|sign\s+up\s+my)\b(?!.{0,40}\b(?:to\s+(?:the|this|my|a|our|an)\s+(?:call|conference|party|dinner|event|meeting|wedding)))|i\s+need\s+an\s+invit(?:e|ation)|(?:add|bring)\s+(?:my\s+)?[\w']+\s+(?:as\s+a\s+(?:new\s+)?user|to\s+the\s+(?:exchange|pbx|family|account))|invit(?:e|ation)\s+(?:link|code)?\s*(?:for|please)"),
    # ── redirection ──
    ("redirect", rf"(?:{_NO_MORE})\s+(?:the\s+|my\s+|all\s+|any\s+|call\s+|calls\s+|of\s+)*(?:{_MOVE}(?:ing|ion|s|ed|ting|ning)?|rout(?:ing|e)|diversions?|redirections?|forwards|sending\s+(?:my\s+|the\s+|all\s+)*calls|diverting|call\s+forward\w*)\b"),
    ("redirect", r"(?:turn|switch)\s+(?:the\s+|my\s+|call\s+|all\s+)*(?:call\s+)?(?:forwarding|diversion|diverts?|redirections?)\s+(?:off|on)|(?:remove|cancel|delete)\b.{0,40}\b(?:forwarding|diversion|divert|redirect(?:ion)?)\b|(?:set\s+up|turn\s+on|enable|activate|put\s+on|add|make|create)\s+(?:a\s+|my\s+|the\s+)?(?:call\s+)?(?:forwarding|forward|diversion|divert|redirect(?:ion)?)\b"),
    ("redirect", rf"{_MOVE}\b(?!\s+(?:this|that|him|her|them|the\s+call|it|the\s+(?:current|caller))\b(?!\s+(?:from|when)))"),
    ("redirect", rf"(?:(?:let|have|make)\s+(?:all\s+|my\s+|the\s+|any\s+)*(?:calls|callers)|(?:send|put|transfer|pass|point|push|move)\s+(?:through\s+)?(?:{_CALLS}|CONTACTNAME(?:'s)?(?:\s+calls)?|PHONENUM|unknown\s+callers|calls))\b(?!\s+(?:a|an|know|that|saying|:)\b).{{0,60}}\b(?:to|go\s+to|ring|through\s+to|straight\s+to|onto|forward)\b"),
    ("redirect", rf"(?:from\s+|on\s+|between\s+)?TIMEEXPR.{{0,30}}\b{_MOVE}\b(?:\s+(?:my|all|the|every|calls?|them|it|everything))*\s+to\b"),
    ("redirect", r".{0,60}\b(?:i\s+want\s+(?:that\s+)?|make\s+|let\s+)?(?:my\s+|all\s+|the\s+)*calls\s+(?:should\s+|must\s+|shall\s+|to\s+)?(?:go|be\s+sent|be\s+forwarded|be\s+redirected|be\s+diverted)\s+(?:straight\s+|directly\s+)?to\b"),
    ("redirect", rf"(?:if|when|whenever|while|as\s+long\s+as|in\s+case)\b.{{1,60}}\b(?:{_MOVE}|send|put|ring|transfer|pass|calls?\s+(?:should\s+)?go|try)\b(?:.{{0,60}}\b(?:to|through\s+to|at|on)\b|\s+(?:CONTACTNAME|EXTNUM|PHONENUM|my\b))"),
    ("redirect", rf"(?:after|from|between|before|during|until|at|on|every|outside)\b.{{1,40}}?[\s,]+(?:please\s+)?(?:{_MOVE}|send|put|transfer|pass)\s+{_CALLS}\b.{{0,50}}\bto\b|(?:TIMEEXPR)[\s,]+(?:{_MOVE}|send)\s+{_CALLS}\b.{{0,50}}\bto\b|(?:calls|everything|anything|anyone\s+calling)\s+(?:from|for|after|between|on|at|that)\b.{{1,60}}\b(?:should|must|shall|go(?:es)?|to\s+be)\b.{{0,20}}\bto\b"),
    # ── calls going on ──
    ("transfer", r"(?:transfer|hand|pass|put|send|connect|forward|switch|give|move|shift|redirect|patch)\s+(?:over\s+)?(?:this(?:\s+(?:call|one|caller|person|lady|guy))?|that(?:\s+call)?|him|her|them|it|the\s+(?:call|caller|customer|client|current\s+call|line|lady|guy|person)|my\s+call)\s+(?:on\s+|over\s+|through\s+|across\s+|along\s+|straight\s+|back\s+)*(?:to|onto|with)\b(?!\s+me\b|\s+(?:hold|mute|speaker|record)|.{0,30}\bnow\s+on\s+hold)"),
    ("transfer", r"(?:blind|warm|attended)?\s*transfer\b(?!\s+(?:AMOUNT|money|NUM|\$|all\b|my\s+(?:calls|balance)|calls|from|funds|every|\d))|(?:let|have)\s+(?:CONTACTNAME|EXTNUM|\w+)\s+(?:take|have|handle)\s+(?:this|the)\s+call|(?:make|let)\s+(?:CONTACTNAME|EXTNUM)\s+take\s+over"),
    ("unmute", r"(?:un-?mute|take\s+(?:me|us|it)\s+off\s+mute|turn\s+(?:on\s+)?(?:my\s+|the\s+)?(?:mic(?:rophone)?|sound)(?:\s+back)?\s*(?:on)?(?:\s+again)?|mute\s+off|(?:turn|switch)\s+(?:off\s+)?(?:the\s+)?mute(?:\s+off)?|(?:turn|switch)\s+(?:my\s+|the\s+)?mic(?:rophone)?\s+(?:back\s+)?on|let\s+(?:them|him|her)\s+hear\s+me(?:\s+again)?|stop\s+muting|open\s+my\s+mic\w*|mic\w*\s+(?:back\s+)?on)\b"),
    ("mute", r"(?:mute(?!\s+(?:all\s+)?calls|\s+(?:notif|off|the\s+(?:tv|music|volume|speakers?)))|(?:turn|switch|cut|kill|shut)\s+(?:off\s+)?(?:my\s+|the\s+)?mic(?:rophone)?(?:\s+off)?|put\s+(?:me|myself|us|it|the\s+call)\s+on\s+mute|silence\s+(?:my\s+(?:mic\w*|side|end|line)|me)|mic\w*\s+off|go\s+on\s+mute|(?:don't|do\s+not)\s+let\s+(?:them|him|her)\s+hear\s+me|make\s+sure\s+they\s+can't\s+hear\s+me)\b"),
    ("resume", r"(?:i'm|i\s+am)\s+(?:back|ready|here)(?:\s+\w+)?[\s,]+(?:please\s+)?(?:un-?hold|take\s+(?:them|him|her|it)\s+off\s+hold|resume|continue)|pick\s+(?:the|that)\s+(?:held|parked)\s+call\b"),
    ("resume", r"(?:un-?hold|(?:take|get|bring|pull)\s+(?:him|her|them|it|the\s+call|this\s+call|CONTACTNAME|that\s+call|the\s+caller|us)?\s*(?:back\s+)?(?:off|from)\s+(?:of\s+)?hold|resume(?!\s+(?:music|timer|the\s+timer|song|playing|playback|alarm|the\s+(?:music|song|album|playlist)|my\s+(?:timer|music|alarm)|all|timers|recording))|(?:continue|go\s+on\s+with|pick\s+up\s+again|return\s+to|back\s+to|go\s+back\s+to|get\s+back\s+to|reconnect\s+to)\s+(?:with\s+)?(?:the|my|this|that)\s+(?:\w+\s+)?call|off\s+hold|(?:i'm|i\s+am)\s+back[\s,]+(?:resume|continue|take)|(?:end|stop|remove|release)\s+(?:the\s+)?hold)\b"),
    ("hold", r"keep\s+(?:him|her|them|it|CONTACTNAME)\s+(?:waiting\s+)?on\s+hold\b"),
    ("hold", r"(?:(?:put|place|keep|park|leave|set|stick|pop)\s+(?:him|her|them|it|this|that|us|CONTACTNAME|everyone|(?:the|this|my|that|current)\s+(?:[\w'-]+\s+){0,4}?(?:call|caller|line|customer|client|person|guy|lady|one)(?:\s+(?:with|from)\s+[\w' -]{1,25}?)?|EXTNUM|PHONENUM|my\s+\w+)\s+(?:on|to)\s+hold|hold\s+(?:the|this|my|that|on\s+to\s+(?:the|this))\s+(?:current\s+|\w+\s+)?(?:call|line|caller)\b(?!s)|park\s+(?:the|this|that)\s+call|hold\s+(?:him|her|them|it|please)\b|on\s+hold(?:\s+please)?$|pause\s+(?:the|this|that|my)\s+call|hold$|(?:put|place)\s+(?:the\s+)?call\s+on\s+hold)"),
    ("answer", r"(?:answer|pick\s*(?:it\s+|that\s+)?up|accept|take)\s*(?:it|this|that|the|him|her|up|now|CONTACTNAME|my|please)?\s*(?:(?:the|this|that|incoming|video|ringing|new|current|phone|CONTACTNAME(?:'s)?|from)\s+)*(?:call|phone|it|up|line|one|that|this)?(?:\s+(?:from|by|for)\s+.{1,30}|\s+(?:now|please|for\s+me|on\s+my\s+\w+|quickly|on\s+EXTNUM|with\s+video))*\W*$"),
    ("answer", r"(?:answer|accept|pick\s+up|take)\s+(?:my\s+)?[\w ]{1,25}'s\s+(?:\w+\s+)?call"),
    ("answer", r"(?:i'll|i\s+will|let\s+me|i'm\s+going\s+to|i\s+can)\s+(?:take|get|answer|pick|accept)\s+(?:it|this|that|the|up)\b|put\s+(?:it|them|him|her|that)\s+through(?:\s+to\s+me)?\W*$|(?:answer|accept|pick\s+up)\s+(?:the|this|that|my|an?)\s+(?:\w+\s+){0,2}call\b|yes[\s,]+(?:i'll\s+take\s+it|put\s+(?:them|him|her)\s+through)"),
    ("reject", r"(?:reject|decline|ignore|refuse|dismiss|deny|send\s+away|turn\s+down|don't\s+(?:answer|pick\s+up|take|accept)|do\s+not\s+(?:answer|pick\s+up|take|accept)|don't\s+want\s+to\s+(?:take|answer))(?!\s+(?:the\s+|my\s+|this\s+|all\s+|any\s+)*(?:reminder|alarm|message|meeting|invitation|event|calendar|calls\s+from|offer|charge))\s*(?:it|this|that|the|him|her|them|up|to|my|CONTACTNAME|call|me|please|now|any|an?)?\b(?!.{0,30}\bcalls\s+from).{0,50}$"),
    ("reject", r"(?:not\s+now|not\s+right\s+now|no\s+i\s+can't\s+talk|i\s+can't\s+(?:take\s+(?:it|this|that)|talk|answer)(?:\s+(?:right\s+)?now)?|let\s+it\s+ring|let\s+(?:it|that|them|him|her|this\s+one)\s+go\s+to\s+(?:voice\s*mail|the\s+answer\w*)|send\s+(?:it|them|him|her|this|that)\s+to\s+(?:voice\s*mail|the\s+(?:answer\w*|mailbox))|busy\s+(?:him|her|them|it)\s+out)\b"),
    ("redial", r"(?:re-?dial|call\s+(?:that|the\s+(?:last|same|previous))\s+(?:last\s+)?(?:number|one|person|guy)\s*(?:again|back|i\s+(?:called|dialled|dialed))?\W*$|(?:try|dial|call|ring|phone)\s+(?:that|the|it|them|him|her|this)?\s*(?:(?:last|same|previous|number|one|call|person|that|i)\s+)*(?:again|once\s+more|one\s+more\s+time|another\s+(?:go|try|time))|(?:try|dial|call|ring)\s+again|give\s+(?:it|that|them|him|her)\s+another\s+(?:go|try|ring|call)|repeat\s+(?:the|my|that)\s+(?:last\s+)?call|(?:dial|ring|call|phone)\s+the\s+(?:last|previous|same)\s+(?:\w+\s+)?(?:number|one|person|caller|call)|one\s+more\s+time(?:\s+please)?$)"),
    ("call", r"(?:call|ring|phone|dial)\s+(?:NUM|[\s().-])+$"),
    ("call", r"(?:place|make|start|initiate)\s+(?:a\s+|an\s+)?(?:video\s+|phone\s+|voice\s+|quick\s+)?call\s+(?:to|with)\s+.{1,50}$|phone\s+[\w'-]+(?:\s+[\w'-]+)?$"),
    # ── conferences ──
    ("conference", r"(?:.{0,60}\b)?(?:conference(?:\s+call)?|(?:three|3|four|4|multi)\s*-?\s*way(?:\s+call)?|group\s+call|conf\s+call|party\s+call)\b(?!.{0,20}\b(?:room\s+(?:booked|available)|next\s+year|ticket|paper|hotel))"),
    ("conference", r"(?:add|bring|join|include|loop|pull|conference|invite|connect)\s+(?:in\s+)?.{1,40}\b(?:to|in|into|on|onto|in\s+on)\s+(?:the|this|my|our)\s+(?:current\s+|ongoing\s+|\w+\s+)?(?:call|conversation)\b|(?:loop|bring|patch|conference)\s+in\s+.{1,30}|get\s+.{1,60}\b(?:all\s+)?on\s+(?:one|the\s+same)\s+(?:call|line)\b"),
)  # fmt: skip
_COMPILED = tuple((label, re.compile(pattern)) for label, pattern in _CUES)
_NOT = re.compile(
    r"^(?:don't|do\s+not|never|please\s+don't|please\s+do\s+not|no\s+need\s+to|you\s+don't\s+need\s+to|"
    r"there's\s+no\s+need|i\s+(?:don't|do\s+not|didn't|never|wouldn't)|we\s+(?:don't|do\s+not|didn't))\b"
)
_MAY_BEGIN_WITH_NOT = frozenset(
    {"do_not_disturb", "redirect", "hide_number", "record", "block", "remind", "cancel_reminder", "reject", "mute",
     "calendar", "scenario"}
)  # fmt: skip


def plainly(text: str) -> str:
    """A masked text without the politeness it begins with."""
    return text[len(text) - len(_POLITE.sub("", text, count=1)) :]


def label_of_cue(text: str) -> str | None:
    """The label of a masked text whose beginning leaves no doubt."""
    said = _POLITE_END.sub("", plainly(text.strip(" \t\"'(")))
    negated = _NOT.match(said) is not None
    for label, pattern in _COMPILED:
        if negated and label not in _MAY_BEGIN_WITH_NOT:
            continue
        if pattern.match(said):
            return label
    return None
