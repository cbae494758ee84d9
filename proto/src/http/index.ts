export { type HttpListener, listenHttp } from "./listen.js";
