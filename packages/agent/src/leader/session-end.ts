/** Why a session is over, as far as the next one depends on it. */
export type SessionEnd = { readonly servers: readonly string[] } & (
  | {
      readonly kind: "not-leader";
      /** Empty: there is none known. */
      readonly leader: string;
      /** Since the session was begun: servers that know no leader wait a while for one before they say so. */
      readonly afterMs: number;
    }
  | {
      readonly kind: "lost";
      /** How often the leader had wanted to hear of this node, a measure of the cluster's size; undefined: never joined. */
      readonly joinedHeartbeatMs: number | undefined;
      readonly reason: string;
    }
);
