import type { Authority } from "@berth/proto";
import type { Writer } from "../reconciler/writer.js";

/** Stores the authority that the first server created in etcd, unless an authority is already stored. */
export async function storeFirstAuthority(
  authority: Authority,
  writer: Pick<Writer, "submit">,
  signal: AbortSignal,
): Promise<void> {
  await writer.submit(
    ({ authorities }) => ({
      changes: authorities.size > 0 ? [] : [{ kind: "put-authority", authority }],
      result: undefined,
    }),
    signal,
  );
}
