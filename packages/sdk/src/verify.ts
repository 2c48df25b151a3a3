/** The verdict over an answer, for whoever imports the SDK: the rules are the protocol's, the same that nodes ask. */
export {
  type AnswerProof,
  assertProof,
  type Check,
  type Expected,
  judgePlacement,
  leaseEnd,
  type PartProof,
  type Proof,
  verifyAnswerProof,
} from '@smartlayer/protocol'
