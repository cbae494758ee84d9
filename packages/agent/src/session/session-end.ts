/** Why a session is over, as far as the next one depends on it. */
export type SessionEnd = { readonly servers: readonly string[] } & (
  | { readonly kind: "not-leader" /** Empty: there is none known. */; readonly leader: string }
  | { readonly kind: "lost"; readonly wasJoined: boolean; readonly reason: string }
);
