import type { JSX } from "preact";
import { cluster } from "../../app/cluster.js";
import {
  type Authority,
  type ControlPlane,
  type Server,
  safeWebUrl,
} from "../../core/model/control-plane.js";
import { formatCount, formatDateTime, formatDuration } from "../../format/format.js";
import { DataTable } from "../shared/data-table.js";
import { Details, Section } from "../shared/details.js";
import { AuditLog } from "./audit-log.js";

/** Remaining validity below which a certificate is marked. Servers renew their certificates long before. */
const EXPIRES_SOON_MS = 24 * 60 * 60 * 1_000;

/** The servers, the members of etcd, the certificates and the audit log. */
export function ClusterView(): JSX.Element {
  // Reading this signal renders the page again after each change of the store.
  void cluster.revision.value;
  const { controlPlane } = cluster.store;
  return (
    <>
      <h1>Cluster</h1>
      {controlPlane === undefined ? (
        <p class="note">Loading servers…</p>
      ) : (
        <>
          <Summary controlPlane={controlPlane} />
          <Section title="Servers and etcd members">
            <Servers servers={controlPlane.servers} />
          </Section>
          <Section title="Certificate authorities">
            <Authorities authorities={controlPlane.authorities} />
          </Section>
        </>
      )}
      <Section title="Audit log">
        <AuditLog />
      </Section>
    </>
  );
}

function Summary({ controlPlane }: { readonly controlPlane: ControlPlane }): JSX.Element {
  const { leaderAddress, leaderVersion, isRestorePending } = controlPlane;
  return (
    <>
      <Details
        appearance="tiles"
        entries={[
          ["Leader", leaderAddress],
          ["Release", leaderVersion],
          ["Epoch", String(cluster.store.position?.epoch ?? "")],
          ["etcd", etcdSummary(controlPlane)],
        ]}
      />
      {isRestorePending && (
        <p class="problems warning">A restore is waiting for nodes. Run berth backup status for details.</p>
      )}
    </>
  );
}

function etcdSummary({ voters, runningVoters }: ControlPlane): string {
  if (voters === 0) return "external";
  const running = `${runningVoters} of ${formatCount(voters, "voter")} running`;
  const tolerated = runningVoters - (Math.floor(voters / 2) + 1);
  if (tolerated < 0) return `${running}; quorum lost`;
  if (tolerated === 0) return `${running}; no member can fail without losing quorum`;
  return `${running}; ${formatCount(tolerated, "member")} can fail`;
}

function Servers({ servers }: { readonly servers: readonly Server[] }): JSX.Element {
  return (
    <DataTable
      caption="Servers and etcd members"
      rows={servers}
      keyOf={({ id, etcdMemberId }) => id || etcdMemberId}
      empty="No servers."
      columns={[
        { title: "Server", cell: (server) => <ServerName server={server} /> },
        {
          title: "State",
          cell: ({ isUp, isLeader }) => (
            <span class={isUp ? "" : "error"}>{isUp ? (isLeader ? "up, leader" : "up") : "down"}</span>
          ),
        },
        { title: "Address", cell: ({ address }) => address },
        { title: "Release", cell: ({ version }) => version },
        { title: "etcd", cell: etcdText },
        {
          title: "Certificate expires",
          cell: ({ certificateExpiresAtMs }) => <Expiry atMs={certificateExpiresAtMs} />,
        },
      ]}
    />
  );
}

function ServerName({ server }: { readonly server: Server }): JSX.Element | string {
  const url = safeWebUrl(server);
  const name = server.hostname || server.etcdMemberId;
  return url === "" ? name : <a href={url}>{name}</a>;
}

function etcdText({ etcdMemberId, isLearner, isEtcdRunning }: Server): string {
  if (etcdMemberId === "") return "none";
  return `${isLearner ? "learner" : "voter"}, ${isEtcdRunning ? "running" : "not running"}`;
}

function Authorities({ authorities }: { readonly authorities: readonly Authority[] }): JSX.Element {
  return (
    <DataTable
      caption="Certificate authorities"
      rows={authorities}
      keyOf={({ fingerprint }) => fingerprint}
      empty="No certificate authorities."
      columns={[
        { title: "Authority", cell: ({ fingerprint }) => <code>{fingerprint.slice(0, 16)}</code> },
        { title: "Signs", cell: ({ isOfEtcd }) => (isOfEtcd ? "etcd" : "cluster") },
        { title: "State", cell: ({ state }) => state },
        { title: "Created", cell: ({ createdAtMs }) => formatDateTime(createdAtMs) },
        { title: "Expires", cell: ({ expiresAtMs }) => <Expiry atMs={expiresAtMs} /> },
      ]}
    />
  );
}

function Expiry({ atMs }: { readonly atMs: number }): JSX.Element {
  if (atMs === 0) return <>unknown</>;
  const leftMs = atMs - cluster.now();
  return (
    <span class={leftMs < EXPIRES_SOON_MS ? "warning" : ""}>
      {formatDateTime(atMs)} ({leftMs < 0 ? "expired" : `in ${formatDuration(leftMs)}`})
    </span>
  );
}
