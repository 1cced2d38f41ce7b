// Answers one question a line with the official Waves libraries: {"do": …} in, {"ok": …} or {"error": …} out.
const { createInterface } = require('node:readline')
const { address, base58Decode, base58Encode, blake2b, keyPair, signBytes, verifyAddress, verifySignature } = require('@waves/ts-lib-crypto')
const { makeTxBytes, transfer, massTransfer } = require('@waves/waves-transactions')

const answers = {
  account: ({ seed, chain }) => ({ address: address(seed, chain), ...keyPair(seed) }),
  known: ({ address, chain }) => verifyAddress(address, { chainId: chain }),
  transfer: ({ seed, params }) => transfer(params, seed),
  massTransfer: ({ seed, params }) => massTransfer(params, seed),
  check: ({ tx }) => {
    const bytes = makeTxBytes(tx)
    return {
      id: base58Encode(blake2b(bytes)),
      signed: verifySignature(tx.senderPublicKey, bytes, tx.proofs[0]),
      sender: address({ publicKey: tx.senderPublicKey }, tx.chainId),
    }
  },
  bytes: ({ tx }) => base58Encode(makeTxBytes(tx)),
  sign: ({ seed, bytes }) => signBytes(seed, base58Decode(bytes)),
}

createInterface({ input: process.stdin }).on('line', line => {
  let answer
  try {
    const question = JSON.parse(line)
    answer = { ok: answers[question.do](question) }
  } catch (error) {
    answer = { error: String(error) }
  }
  process.stdout.write(JSON.stringify(answer) + '\n')
})
