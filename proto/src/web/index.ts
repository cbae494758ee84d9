export { type WebBackend, type WebCaller, WebGateway, type WebGatewayOptions } from "./gateway.js";
export { type ListenWebOptions, listenWeb, type WebListener } from "./listen-web.js";
export { StaticFiles } from "./static-files.js";
export { webUiDirectory } from "./web-ui-directory.js";
