/** `npm run lab -- --help`, 80 columns. */
export const HELP = `Several real Docker hosts on this machine, with berth on them.

Usage: npm run lab -- COMMAND

  up [--hosts N] [--no-berth]  make N hosts (3) h1…hN and a server s1
     [--servers N]             instead of s1's, servers with their etcd on the
                               first N hosts: most of them must stay up
  down                         remove the lab and everything in it
  status [--json]              what runs, and at which address
  kill HOST…                   power cut: everything on it dies at once
  start HOST…                  switch on again, on the same disk
  partition HOST…              pull the network cable
  heal HOST…                   plug it in again
  shell HOST [-- COMMAND…]     a shell on the host, or one command
  image SOURCE TAG             build a folder (or take a docker save archive)
                               and load the image onto every host

Options:
  --name NAME                  another lab beside the first (default: lab)
  -h, --help                   this text

Environment:
  BERTH_LAB_DOCKER=RELEASE     hosts run the Docker of this Debian release
                               (trixie, sid), or that in a folder

Examples:
  npm run lab -- up
  npm run lab -- image deploy/images/hello hello:1
  npm run lab -- shell h1 -- docker run -d -p 8000:80 hello:1
  curl http://10.77.0.11:8000
  npm run lab -- kill h1
  npm run lab -- start h1
  npm run lab -- down
  npm run lab -- up --hosts 3 --servers 3`;
