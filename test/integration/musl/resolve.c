/* resolve NAME[:4|:6]... prints a line for each name: "NAME FAMILY MS ADDRESSES" or "NAME FAMILY MS error: REASON". */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    char name[512];
    snprintf(name, sizeof name, "%s", argv[i]);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC}, *found = 0;
    char *colon = strrchr(name, ':');
    if (colon) {
      hints.ai_family = colon[1] == '6' ? AF_INET6 : AF_INET;
      *colon = 0;
    }
    double start = now_ms();
    int code = getaddrinfo(name, "80", &hints, &found);
    printf("%s %s %.1f", name, hints.ai_family == AF_UNSPEC ? "any" : hints.ai_family == AF_INET ? "4" : "6", now_ms() - start);
    if (code) printf(" error: %d %s", code, gai_strerror(code));
    for (struct addrinfo *each = found; each; each = each->ai_next) {
      char text[64] = "";
      void *address = each->ai_family == AF_INET ? (void *)&((struct sockaddr_in *)each->ai_addr)->sin_addr
                                                 : (void *)&((struct sockaddr_in6 *)each->ai_addr)->sin6_addr;
      printf(" %s", inet_ntop(each->ai_family, address, text, sizeof text));
    }
    printf("\n");
    if (found) freeaddrinfo(found);
  }
  return 0;
}
