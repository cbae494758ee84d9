import { pino } from "pino";
import { expect, it } from "vitest";
import type { EtcdMember } from "../../core/membership/etcd-membership.js";
import { ManualClock } from "../../testing/manual-clock.js";
import { trackMembers } from "./track-members.js";

const OWN = memberAt("10.0.0.1");
const OTHER = memberAt("10.0.0.2");

function memberAt(host: string): EtcdMember {
  return {
    id: host,
    name: host,
    peerUrls: [`https://${host}:7403`],
    clientUrls: [`https://${host}:7404`],
    isLearner: false,
  };
}

/** Tracks members that are listed as in `lists`, one list after another. Returns what was recorded. */
async function track(...lists: readonly (readonly EtcdMember[])[]) {
  const clock = new ManualClock();
  const stop = new AbortController();
  const recorded: (readonly string[])[] = [];
  const endpoints: (readonly string[])[] = [];
  const remaining = [...lists];
  const list = async (): Promise<readonly EtcdMember[]> => {
    const members = remaining.shift() ?? [];
    if (remaining.length === 0) stop.abort();
    return members;
  };
  const tracking = trackMembers(
    {
      store: {
        members: { list } as never,
        updateEndpoints: (urls) => void endpoints.push(urls),
      },
      etcd: {
        endpoint: "https://10.0.0.1:7404",
        recordMembers: (addresses) => void recorded.push(addresses),
      },
      clock,
      logger: pino({ level: "silent" }),
    },
    stop.signal,
  );
  for (let pauses = 1; pauses < lists.length; pauses += 1) await clock.advance(3_000);
  await tracking;
  return { recorded, endpoints };
}

it("records each change of the members, with this server's endpoint first", async () => {
  const { recorded, endpoints } = await track([OWN], [OWN, OTHER], [OWN, OTHER], [OWN]);

  expect(recorded).toEqual([["10.0.0.1"], ["10.0.0.1", "10.0.0.2"], ["10.0.0.1"]]);
  expect(endpoints.at(-2)).toEqual(["https://10.0.0.1:7404", "https://10.0.0.2:7404"]);
});

it("records that this server's member is the only one at the start, because a crash may have prevented the record", async () => {
  expect((await track([OWN])).recorded).toEqual([["10.0.0.1"]]);
});
