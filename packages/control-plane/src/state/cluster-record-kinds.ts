import { AuditRecord, Policy, Restore, validatePolicy } from "@berth/proto";
import { decodeMessage, encodeMessage } from "./message-codec.js";
import { defineKind, requireSameId, wrap } from "./record-kind.js";

/** The policy: what containers may use of their hosts. There is one record, `POLICY_NAME`. */
export const policyKind = defineKind<
  { readonly name: string; readonly policy: Policy },
  { readonly name: string }
>({
  collection: "policies",
  keyFields: ["name"],
  idOf: ({ name }) => ({ name }),
  encode: ({ policy }) => encodeMessage(Policy, policy),
  decode: (value, { name }) => {
    const policy = decodeMessage(Policy, value);
    const [problem] = validatePolicy(policy);
    if (problem !== undefined) throw new Error(`invalid policy: ${problem.path}: ${problem.message}`);
    return { name, policy };
  },
  get: ({ policies }, { name }) => {
    const policy = policies.get(name);
    return policy && { name, policy };
  },
  put: ({ policies }, { name, policy }) => policies.set(name, policy),
  delete: ({ policies }, { name }) => policies.delete(name),
  addToDelta: (delta) => delta.markPolicyChanged(),
});

/** A call that changed the cluster or was refused, see api/audit. */
export const auditKind = defineKind<{ readonly record: AuditRecord }, { readonly sequence: number }>({
  collection: "audit",
  keyFields: ["sequence"],
  idOf: ({ record: { sequence } }) => ({ sequence }),
  encode: ({ record }) => encodeMessage(AuditRecord, record),
  decode: (value, { sequence }) => {
    const record = decodeMessage(AuditRecord, value);
    requireSameId(String(record.sequence), String(sequence));
    return { record };
  },
  get: ({ audit }, { sequence }) => wrap("record", audit.get(sequence)),
  put: ({ audit }, { record }) => audit.put(record),
  delete: ({ audit }, { sequence }) => audit.delete(sequence),
  addToDelta: (delta, { sequence }, { before, after }) => {
    delta.addAudit(sequence, { before: before?.record, after: after?.record });
  },
});

/** The last restore from a backup. There is one record, `RESTORE_NAME`. */
export const restoreKind = defineKind<
  { readonly name: string; readonly restore: Restore },
  { readonly name: string }
>({
  collection: "restores",
  keyFields: ["name"],
  idOf: ({ name }) => ({ name }),
  encode: ({ restore }) => encodeMessage(Restore, restore),
  decode: (value, { name }) => ({ name, restore: decodeMessage(Restore, value) }),
  get: ({ restores }, { name }) => {
    const restore = restores.get(name);
    return restore && { name, restore };
  },
  put: ({ restores }, { name, restore }) => restores.set(name, restore),
  delete: ({ restores }, { name }) => restores.delete(name),
  addToDelta: (delta) => delta.markRestoreChanged(),
});
