import { describe, expect, test } from "vitest";
import { loadService } from "../../testing/load-text.js";

describe("post_start and pre_stop", () => {
  test("reads all keys of hooks, in the order of the file", () => {
    const { specs, messages } = loadService(`post_start:
  - command: ./migrate.sh --all "a b"
    user: root
    privileged: true
    working_dir: /srv
    environment: [MODE=full, EMPTY=]
  - { command: [touch, /ready] }
pre_stop:
  - { command: nginx -s quit, environment: { SLOT: "{{.Task.Slot}}", UNSET: null } }`);
    expect(messages).toEqual([]);
    expect(specs[0]?.task?.container).toMatchObject({
      postStart: [
        {
          command: ["./migrate.sh", "--all", "a b"],
          user: "root",
          privileged: true,
          workingDir: "/srv",
          env: ["MODE=full", "EMPTY="],
        },
        { command: ["touch", "/ready"], user: "", privileged: false, workingDir: "", env: [] },
      ],
      preStop: [{ command: ["nginx", "-s", "quit"], env: ["SLOT={{.Task.Slot}}"] }],
    });
  });

  test("reports invalid hooks at their places, and rejects pre_start with its replacement", () => {
    const { messages } = loadService(`post_start:
  - { command: [] }
  - { command: a, working_dir: srv, environment: { "": x } }
  - { user: root }
pre_start: [{ command: a }]`);
    expect(messages).toMatchInlineSnapshot(`
      [
        "c.yaml:5:9: services.s.post_start[0]: the hook has no command",
        "c.yaml:6:9: services.s.post_start[1]: "srv" is not an absolute path",
        "c.yaml:7:9: services.s.post_start[2]: the key command is missing",
        "c.yaml:8:5: services.s.pre_start: init containers are not supported; define a separate service, and wait for it with depends_on and service_completed_successfully",
      ]
    `);
  });
});
