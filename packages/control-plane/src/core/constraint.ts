import { type Node, parseConstraint } from "@berth/proto";

/** A placement constraint, ready to be asked of many nodes. */
export interface NodeTest {
  readonly text: string;
  readonly meets: (node: Node) => boolean;
  /** Why no node at all can meet it. */
  readonly impossible?: string;
}

const NODE_LABEL = "node.labels.";
const ENGINE_LABEL = "engine.labels.";

/** Every node runs tasks and nothing else: in Swarm's words, a worker. */
const ROLE = "worker";

/** Names that `uname` has for what Docker calls amd64 and arm64. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x86_64: "amd64", aarch64: "arm64" };

/** Parses once. A constraint that cannot be parsed is met by no node and says so. */
export function nodeTest(text: string): NodeTest {
  const parsed = parseConstraint(text);
  if (parsed.kind === "invalid") return { text, meets: () => false, impossible: parsed.reason };
  const { attribute, operator } = parsed;
  const value = comparable(attribute, parsed.value);
  const wanted = operator === "==";
  const meets = (node: Node): boolean =>
    (comparable(attribute, attributeOf(node, attribute)) === value) === wanted;
  return attribute === "node.role" && (value === ROLE) !== wanted
    ? { text, meets, impossible: "no node is a manager: servers run no tasks" }
    : { text, meets };
}

/** Docker's name of an architecture. */
export const architectureName = (name: string): string => ARCHITECTURES[name] ?? name;

/** As in Swarm, letter case does not matter. */
function comparable(attribute: string, value: string): string {
  const lower = value.toLowerCase();
  return attribute === "node.platform.arch" ? architectureName(lower) : lower;
}

/** A label that the node lacks reads as empty, so `!=` holds for it. */
function attributeOf(node: Node, attribute: string): string {
  if (attribute.startsWith(NODE_LABEL)) return node.labels[attribute.slice(NODE_LABEL.length)] ?? "";
  const description = node.description;
  if (attribute.startsWith(ENGINE_LABEL)) {
    return description?.engineLabels[attribute.slice(ENGINE_LABEL.length)] ?? "";
  }
  switch (attribute) {
    case "node.id":
      return node.id;
    case "node.hostname":
      return description?.hostname ?? "";
    case "node.platform.os":
      return description?.os ?? "";
    case "node.platform.arch":
      return description?.architecture ?? "";
    case "node.role":
      return ROLE;
    default:
      return "";
  }
}
