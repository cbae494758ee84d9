// Rules between directories; `npm run lint:structure` checks them. Directories are subjects, so no two may need each
// other.

module.exports = {
  forbidden: [
    {
      name: "no-directory-cycles",
      comment:
        "Directories of a package must not depend on each other in a circle: move the shared piece below both.",
      severity: "error",
      scope: "folder",
      from: {},
      to: { circular: true },
    },
    {
      name: "packages-are-independent",
      comment:
        "cli, agent and control-plane depend on @berth/proto, never on each other. The command line loads the entry points of the others (process/programs.d.ts). The page has the reader of Compose files of the command line.",
      severity: "error",
      from: { path: "^packages/([^/]+)/" },
      to: {
        path: "^packages/",
        pathNot:
          "^packages/$1/|^packages/(agent|control-plane)/dist/(main|doctor/main|backup/entry)\\.js$|^packages/cli/dist/compose/(load-stack|text/format-diagnostics)\\.js$",
      },
    },
    {
      name: "core-is-pure",
      comment: "core/ imports itself and @berth/proto only. Do I/O outside core/.",
      severity: "error",
      from: { path: "^packages/([^/]+)/src/core/" },
      to: { pathNot: "^packages/$1/src/core/|^@berth/proto$|^proto/(dist/)?src/index\\.[jt]s$" },
    },
    {
      name: "types-and-rules-load-no-transport",
      comment:
        "The main entry point of @berth/proto is for the pure core. Transports have entry points of their own.",
      severity: "error",
      from: { path: "^proto/src/index\\.ts$" },
      to: {
        path: "@grpc/|^(node:)?(http|tls|dgram)$|^proto/src/(rpc|http|probe|identity|service-manager|terminal)/",
        reachable: true,
      },
    },
    {
      name: "certificates-are-created-on-demand",
      comment:
        "x509.ts loads a large library. Import it with import(), where a certificate is issued or requested.",
      severity: "error",
      from: {},
      to: { path: "^proto/src/identity/x509\\.ts$", dynamic: false },
    },
  ],
  options: {
    parser: "swc",
    doNotFollow: { path: "node_modules|/dist/" },
    // swc reads .tsx files as .ts files, and fails.
    exclude: { path: "\\.test\\.ts$|\\.tsx$|/testing/|/gen/" },
    enhancedResolveOptions: { extensions: [".ts", ".js"] },
  },
};
