import { fileURLToPath } from "node:url";
import type { Lab } from "../lab/lab.js";
import { berth } from "./berth.js";
import type { Screen } from "./screen.js";

const fromDeploy = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));

const STACK = "shop";
const COMPOSE_FILE = "deploy/stacks/shop/compose.yml";
const IMAGES = [
  { folder: "images/shop", tag: "shop:1" },
  { folder: "images/redis", tag: "shop-redis:1" },
] as const;

/** What the demonstration needs to know of its example stack. */
export const SHOP = {
  stack: STACK,
  service: `${STACK}_web`,
  port: 8080,
  /** Replies start with who gave them: "web.3 on h2: …". */
  replicaOf: (body: string): string => body.split(":", 1)[0] ?? body,
} as const;

/** Makes the stack's images from what the machine has, and deploys it the way a person would. */
export async function deployShop(screen: Screen, lab: Lab, signal: AbortSignal): Promise<void> {
  screen.heading("2  The stack");
  for (const { folder, tag } of IMAGES) {
    signal.throwIfAborted();
    screen.live(`making image ${tag} and loading it onto every host …`);
    await lab.loadImage(fromDeploy(folder), tag);
    screen.line(`  image ${tag} is on every host`);
  }
  await berth(screen, lab, ["stack", "deploy", "-c", COMPOSE_FILE, STACK]);
}
