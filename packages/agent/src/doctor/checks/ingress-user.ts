import { assertNever } from "@berth/proto";
import { type ChosenUser, chooseIngressUser } from "../../agent/ingress-user.js";
import { type Check, type Finding, ok, warning } from "../check.js";

const SUBJECT = "ingress user";

/** Checks which user the agent runs the ingress process as. */
export const checkIngressUser: Check = async ({ ingressUser, signal }) => {
  if (process.getuid?.() !== 0) {
    return [warning(SUBJECT, "not checked: requires root", "Run berth doctor as root.")];
  }
  return [evaluateIngressUser(await chooseIngressUser(ingressUser, signal))];
};

export function evaluateIngressUser(chosen: ChosenUser): Finding {
  const { uid } = chosen.user;
  switch (chosen.kind) {
    case "unprivileged":
      return ok(SUBJECT, `the ingress process runs as a dedicated user (uid ${uid}) with few capabilities`);
    case "privileged":
      return ok(SUBJECT, "the ingress process runs as root, as configured");
    case "fallback":
      return warning(
        SUBJECT,
        `the ingress process, which parses packets of clients and containers, runs as root: ${chosen.reason}`,
        "To accept this, start the agent with --ingress-user root.",
      );
    default:
      return assertNever(chosen);
  }
}
