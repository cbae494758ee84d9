import { describe, expect, it } from "vitest";
import { toEngineError } from "./errors.js";

/** As dockerode throws it. */
function answer(statusCode: number, words: string): Error {
  return Object.assign(new Error(`(HTTP code ${statusCode}) unexpected - ${words} `), { statusCode });
}
const kindOf = (statusCode: number, words: string) =>
  toEngineError(answer(statusCode, words), "/docker.sock").kind;

describe("kinds of Docker's errors", () => {
  it("classifies errors of a daemon that shuts down as unavailable", () => {
    const closing =
      "failed to update store for object type *libnetwork.endpoint: open : no such file or directory";
    expect(kindOf(500, closing)).toBe("unavailable");
    expect(kindOf(500, "open /srv/app.conf: no such file or directory")).toBe("invalid");
  });

  it("keeps Docker's message without dockerode's prefix", () => {
    expect(toEngineError(answer(404, "No such image: app:2"), "/docker.sock")).toMatchObject({
      kind: "no-such-image",
      message: "No such image: app:2",
    });
  });
});
