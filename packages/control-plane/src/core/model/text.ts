// Formats numbers for messages. Reasons are compared as text, so equal facts must give equal texts.

const SIZE_UNITS = [
  ["GiB", 1024 ** 3],
  ["MiB", 1024 ** 2],
  ["KiB", 1024],
] as const;

/** Returns a size with at most one decimal: `1.5 GiB`. */
export function bytesText(bytes: number): string {
  for (const [unit, size] of SIZE_UNITS) {
    if (bytes >= size) return `${oneDecimal(bytes / size)} ${unit}`;
  }
  return `${bytes} bytes`;
}

/** Returns a number of CPUs: `0.25 CPU`, `2 CPUs`. */
export function cpusText(nanoCpus: number): string {
  const cpus = Number((nanoCpus / 1e9).toFixed(3));
  return `${cpus} ${cpus <= 1 ? "CPU" : "CPUs"}`;
}

/** Returns a duration: `5m0s`, `1h0m30s`, `0.5s`. */
export function durationText(ms: number): string {
  const hours = Math.floor(ms / 3_600_000);
  const minutes = Math.floor((ms % 3_600_000) / 60_000);
  const seconds = `${Number(((ms % 60_000) / 1_000).toFixed(1))}s`;
  if (hours > 0) return `${hours}h${minutes}m${seconds}`;
  return minutes > 0 ? `${minutes}m${seconds}` : seconds;
}

/** Returns a count of nodes with the verb in its number: `1 node is`, `3 nodes are`. */
export function nodesText(count: number, verbs: { readonly one: string; readonly many: string }): string {
  return count === 1 ? `1 node ${verbs.one}` : `${count} nodes ${verbs.many}`;
}

function oneDecimal(value: number): string {
  return String(Number(value.toFixed(1)));
}
