import { type GetServiceResponse, type IngressEntry, ServiceSpec } from "@berth/proto";
import type { Cli, GlobalOptions } from "../../cli.js";
import { withClient } from "../../client.js";
import { type Fact, formatFacts } from "../../output/facts.js";
import { humanBytes, humanCpus } from "../../output/human.js";
import { printJson } from "../../output/print.js";
import {
  imageOf,
  modeWord,
  portText,
  replicasText,
  serviceId,
  serviceJson,
  serviceName,
} from "../../output/services.js";
import { capitalised, protocolWord } from "../../output/words.js";

export interface InspectOptions extends GlobalOptions {
  readonly pretty?: boolean;
}

/** `berth service inspect SERVICE…` */
export async function inspectServices(
  cli: Cli,
  options: InspectOptions,
  services: readonly string[],
): Promise<void> {
  const found = await withClient(cli, options, (client) =>
    Promise.all(services.map((service) => client.getService({ service }, { signal: cli.signal }))),
  );
  const isPretty = options.pretty === true && options.output !== "json";
  if (isPretty) cli.stdout.write(found.map(prettyService).join("\n"));
  else printJson(cli, found.map(inspectJson));
}

function inspectJson({ service, ingress }: GetServiceResponse): unknown {
  if (service === undefined) return {};
  const spec = service.service?.spec;
  return {
    ...Object.assign({}, serviceJson(service)),
    createdAtMs: service.service?.createdAtMs ?? 0,
    updatedAtMs: service.service?.updatedAtMs ?? 0,
    spec: spec === undefined ? {} : ServiceSpec.toJSON(spec),
    ingress: ingress.map(({ published, protocol, hostIp, endpoints, draining }) => ({
      published,
      protocol: protocolWord(protocol),
      hostIp,
      endpoints: endpoints.map(endpointText),
      draining: draining.map(endpointText),
    })),
  };
}

function endpointText({ address, port }: { address: string; port: number }): string {
  return `${address}:${port}`;
}

function prettyService({ service, ingress }: GetServiceResponse): string {
  if (service === undefined) return "";
  const spec = service.service?.spec;
  const { limits, reservations } = spec?.task ?? {};
  return formatFacts([
    ["ID", serviceId(service)],
    ["Name", serviceName(service)],
    ["Stack", spec?.stack ?? ""],
    ["Mode", capitalised(modeWord(service))],
    ["Replicas", replicasText(service)],
    ["Version", String(service.service?.version ?? "")],
    ["Image", imageOf(service)],
    ["Constraints", spec?.placement?.constraints ?? []],
    ["Limits", resourcesText(limits)],
    ["Reservations", resourcesText(reservations)],
    ["Ports", spec?.ports.map(portText) ?? []],
    ...ingress.map(endpointsFact),
  ]);
}

/** Where connections to one published port go. */
function endpointsFact({ published, protocol, hostIp, endpoints }: IngressEntry): Fact {
  const port = `${hostIp === "" ? "" : `${hostIp}:`}${published}/${protocolWord(protocol)}`;
  const texts = endpoints.map(endpointText);
  return [`Endpoints of ${port}`, texts.length === 0 ? "none" : texts];
}

function resourcesText(resources: { nanoCpus: number; memoryBytes: number } | undefined): string {
  const { nanoCpus = 0, memoryBytes = 0 } = resources ?? {};
  const cpus = nanoCpus > 0 ? [`${humanCpus(nanoCpus)} CPUs`] : [];
  return [...cpus, ...(memoryBytes > 0 ? [`${humanBytes(memoryBytes)} memory`] : [])].join(", ");
}
