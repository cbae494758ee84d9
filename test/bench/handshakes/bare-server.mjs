// A TLS server that sends one byte on each connection. Reads its TlsMaterial from standard input, and prints its port.
import { createServer } from "node:tls";

let text = "";
for await (const chunk of process.stdin) text += chunk;
const { authorities, leaf } = JSON.parse(text);
const server = createServer(
  {
    ca: authorities,
    cert: leaf.certificate,
    key: leaf.key,
    minVersion: "TLSv1.3",
    requestCert: true,
    ALPNProtocols: ["h2"],
  },
  (socket) => {
    socket.on("error", () => {});
    socket.write("x");
  },
);
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
