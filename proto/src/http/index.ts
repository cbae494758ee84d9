export type { HttpClient } from "./http-clients.js";
export { type HttpListener, listenHttp } from "./listen.js";
