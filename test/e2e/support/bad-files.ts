// biome-ignore-all lint/suspicious/noTemplateCurlyInString: Compose writes its variables like this

/** An invalid Compose file, with the expected error: its position and the reason. */
export interface BadFile {
  readonly what: string;
  readonly content: string | Uint8Array;
  readonly message: RegExp;
}

const HUGE_BYTES = 6_000_000;
const DEEP = 50_000;

/** Returns a YAML bomb: aliases that expand to 9 to the power of `levels` strings. */
function bomb(levels: number): string {
  const lines = Array.from({ length: levels }, (_, level) => {
    const item = level === 0 ? "lol" : `*a${level - 1}`;
    return `x-${level}: &a${level} [${Array.from({ length: 9 }, () => item).join(", ")}]`;
  });
  return `${lines.join("\n")}\nservices: { web: { image: hello:1, command: *a${levels - 1} } }\n`;
}

/** Returns a file whose service `web` has one more line. */
const web = (line: string): string => `services:\n  web:\n    image: hello:1\n    ${line}\n`;

export const BAD_FILES: readonly BadFile[] = [
  { what: "an unknown key", content: web("prots: []"), message: /:4:5: .*unknown key "prots".*"ports"/ },
  { what: "an unknown key at the top", content: "servces: {}\n", message: /:1:1: .*unknown key "servces"/ },
  { what: "a wrong type", content: web("ports: 80"), message: /:4:12: .*must be a list/ },
  { what: "a wrong number", content: web("deploy: { replicas: many }"), message: /:4:25: .*whole number/ },
  {
    what: "a negative number",
    content: web("deploy: { replicas: -1 }"),
    message: /:4:25: .*-1 is less than 0/,
  },
  {
    what: "a bad duration",
    content: web("stop_grace_period: 10 parsecs"),
    message: /:4:24: .*not a duration/,
  },
  { what: "a bad size", content: web("mem_limit: 12Q"), message: /:4:16: .*not a size/ },
  { what: "a bad port", content: web('ports: ["99999:80"]'), message: /:4:13: .*99999/ },
  { what: "a duplicate port", content: web('ports: ["81:80", "81:90"]'), message: /:4:22: .*81.*already/ },
  {
    what: "a port that another service publishes",
    content: `${web('ports: ["81:80"]')}  other:\n    image: hello:1\n    ports: ["81:80"]\n`,
    message: /:7:13: .*81.*already published by service web/,
  },
  {
    what: "an unknown volume",
    content: web('volumes: ["data:/x"]'),
    message: /:4:15: .*undefined volume "data"/,
  },
  {
    what: "a bad constraint",
    content: web("deploy: { placement: { constraints: [x] } }"),
    message: /:4:42: /,
  },
  {
    what: "an unsupported key",
    content: web("use_api_socket: true"),
    message: /:4:5: .*use_api_socket passes the Docker credentials/,
  },
  {
    what: "an unknown service to extend",
    content: web("extends: { service: db }"),
    message: /:4:14: .*undefined service "db"/,
  },
  { what: "a missing image", content: "services:\n  web: {}\n", message: /:2:3: .*no image/ },
  { what: "a missing variable", content: web("user: ${NOPE?say who}"), message: /:4:11: .*NOPE.*say who/ },
  { what: "a duplicate key", content: web("image: hello:2"), message: /:4:5: .*duplicate key "image"/ },
  {
    what: "a name of 70 characters",
    content: web("").replace("web", "w".repeat(70)),
    message: /:2:3: .*maximum 63/,
  },
  { what: "a name that is not ASCII", content: web("").replace("web", "größe"), message: /:2:3: .*ASCII/ },
  { what: "a tab", content: "services:\n\tweb: {}\n", message: /:2:1: .*[Tt]ab/ },
  { what: "an unterminated list", content: web("ports: [80"), message: /:\d+:\d+: / },
  { what: "a YAML bomb", content: bomb(9), message: /:\d+:\d+: .*more than 200000 values/ },
  { what: "deep nesting", content: `services: ${"[".repeat(DEEP)}`, message: /:1:\d+: .*nested too deeply/ },
  { what: "an empty file", content: "", message: /:1:1: .*empty/ },
  { what: "blank lines", content: " \n\n", message: /:1:1: .*empty/ },
  { what: "a huge file", content: new Uint8Array(HUGE_BYTES).fill(0x23), message: /:1:1: .*bytes/ },
  {
    what: "CRLF line endings",
    content: web("prots: []").replaceAll("\n", "\r\n"),
    message: /:4:5: .*"prots"/,
  },
  {
    what: "an unknown key after a byte order mark",
    content: `\ufeff${web("prots: []")}`,
    message: /:4:5: .*"prots"/,
  },
  {
    what: "a mistake right after a byte order mark",
    content: "\ufeffprots: 1\n",
    message: /:1:1: .*"prots"/,
  },
  { what: "UTF-16", content: Buffer.from(`\ufeff${web("")}`, "utf16le"), message: /:1:1: .*not UTF-8/ },
  { what: "a NUL byte", content: web("user: a\0b"), message: /:4:12: .*NUL/ },
];
