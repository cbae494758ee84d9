import type { AssignedRegistryLogin } from "@berth/proto";
import { describe, expect, it } from "vitest";
import { buildSpec } from "../../core/testing/records.js";
import { LoginFeed } from "./login-feed.js";

const spec = buildSpec({ task: { container: { image: "ghcr.io/a/b:1" } } });
const shop = { stack: "shop", spec };

function login(id: string, stack = ""): AssignedRegistryLogin {
  return {
    id,
    stack,
    credentials: { server: "ghcr.io", username: "ci", secret: id, isIdentityToken: false },
  };
}

function feedOver(logins: Map<string, AssignedRegistryLogin>) {
  const feed = new LoginFeed({ registryLogin: (key) => logins.get(key) });
  const take = (): { readonly added: readonly string[]; readonly removed: readonly string[] } => {
    const { registryLogins, removedRegistryLoginIds } = feed.takeChanges();
    return { added: registryLogins.map(({ id }) => id), removed: removedRegistryLoginIds };
  };
  return { feed, take };
}

describe("LoginFeed", () => {
  it("sends the logins for the images of tasks once, and removes them with the last task", () => {
    const logins = new Map([
      ["ghcr.io/", login("named")],
      ["ghcr.io/shop", login("own", "shop")],
      ["ghcr.io/blog", login("blog", "blog")],
      ["docker.io/", login("hub")],
    ]);
    const { feed, take } = feedOver(logins);
    feed.addTask("t1", shop);
    feed.addTask("t2", shop);
    expect(take()).toEqual({ added: ["own", "named"], removed: [] });
    feed.removeTask("t1");
    expect(feed.isStale).toBe(false);
    feed.removeTask("t2");
    expect(take()).toEqual({ added: [], removed: ["own", "named"] });
  });

  it("sends a login that is stored later, replaced and removed, and none that no task needs", () => {
    const logins = new Map<string, AssignedRegistryLogin>();
    const { feed, take } = feedOver(logins);
    feed.addTask("t1", shop);
    expect(take()).toEqual({ added: [], removed: [] });
    feed.markStale("docker.io/");
    expect(feed.isStale).toBe(false);
    logins.set("ghcr.io/", login("first"));
    feed.markStale("ghcr.io/");
    expect(take()).toEqual({ added: ["first"], removed: [] });
    // Replaced under the same ID, and by another record.
    feed.markStale("ghcr.io/");
    expect(take()).toEqual({ added: ["first"], removed: [] });
    logins.set("ghcr.io/", login("second"));
    feed.markStale("ghcr.io/");
    expect(take()).toEqual({ added: ["second"], removed: ["first"] });
    logins.clear();
    feed.markStale("ghcr.io/");
    expect(take()).toEqual({ added: [], removed: ["second"] });
  });
});
