// Keeps every server of the process on loopback. Portkey's gateway names no address when it listens, which means all of
// them, and has no option for one: `node --import …/loopback.js …/build/start-server.js`. No request passes through here.
import net from "node:net";

const HOST = "127.0.0.1";
const listen = net.Server.prototype.listen;

net.Server.prototype.listen = function (...given) {
  const port = typeof given[0] === "object" && given[0] !== null ? given[0].port : given[0];
  const told = given.filter((each) => typeof each === "function");
  return listen.call(this, { port: Number(port), host: HOST }, ...told);
};
