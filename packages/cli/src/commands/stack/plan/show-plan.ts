import { BerthError, type DeployPlan, type DeployStackRequest } from "@berth/proto";
import { type ControlClient, retryDuringElection } from "../../../client/client.js";
import { printJson } from "../../../output/print.js";
import { styled } from "../../../output/style.js";
import type { Cli, GlobalOptions, Terminal } from "../../../process/cli.js";
import { planJson } from "./plan-json.js";
import { renderPlan } from "./render-plan.js";

/** Working out a large stack takes the server longer than its other answers. */
const PLAN_TIMEOUT_MS = 60_000;

/** `berth stack deploy --dry-run`: prints what the request would do. */
export async function showPlan(
  cli: Cli,
  client: ControlClient,
  { request, options }: { readonly request: DeployStackRequest; readonly options: GlobalOptions },
): Promise<void> {
  const plan = await fetchPlan(cli, client, request);
  if (options.output === "json") printJson(cli, planJson(request.stack, plan));
  else writePlan(cli, cli.stdout, { stack: request.stack, plan });
}

/** What the request would do now, for a person whose plan is out of date. */
export async function showPresentPlan(
  cli: Cli,
  client: ControlClient,
  request: DeployStackRequest,
): Promise<void> {
  const plan = await fetchPlan(cli, client, request);
  cli.stderr.write("The plan as it is now:\n");
  writePlan(cli, cli.stderr, { stack: request.stack, plan });
}

async function fetchPlan(cli: Cli, client: ControlClient, request: DeployStackRequest): Promise<DeployPlan> {
  const asked = { ...request, dryRun: true, planRev: "" };
  const call = { signal: cli.signal, timeoutMs: PLAN_TIMEOUT_MS };
  const { plan, warnings } = await retryDuringElection(cli, () => client.deployStack(asked, call));
  for (const warning of warnings) cli.stderr.write(`warning: ${warning}\n`);
  if (plan !== undefined) return plan;
  const message = "the server does not know how to plan: it is older than this program. Update it first.";
  throw new BerthError({ code: "BERTH_UNSUPPORTED", message });
}

function writePlan(
  cli: Cli,
  terminal: Terminal,
  { stack, plan }: { readonly stack: string; readonly plan: DeployPlan },
): void {
  const lines = renderPlan(stack, plan, (style, text) => styled(cli, terminal, style, text));
  terminal.write(lines.map((line) => `${line}\n`).join(""));
}
