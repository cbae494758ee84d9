import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { readMessages } from "../../app/api.js";
import { type ClusterUsage, decodeClusterUsage } from "../../core/model/usage.js";

const EMPTY: ClusterUsage = { nodes: new Map(), tasks: new Map() };
/** Delay before a stream that has ended is opened again. */
const RETRY_MS = 5_000;

/** Returns what a node and its tasks use now. Nothing is known until the first message, and after an interruption. */
export function useUsageOf(nodeId: string): ClusterUsage {
  const usage = useSignal(EMPTY);
  useEffect(() => {
    const ended = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const follow = async (): Promise<void> => {
      try {
        for await (const message of readMessages("WatchStats", { node: nodeId }, ended.signal))
          usage.value = decodeClusterUsage(message);
      } catch {
        // The header says whether the web UI is cut off.
      }
      if (ended.signal.aborted) return;
      usage.value = EMPTY;
      timer = setTimeout(follow, RETRY_MS);
    };
    void follow();
    return () => {
      ended.abort();
      clearTimeout(timer);
    };
  }, [nodeId]);
  return usage.value;
}
