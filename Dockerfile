# The binary, the authorities that it trusts, an empty ledger directory, and nothing else: no shell, no libc, no packages.
#
# The binary is built outside, statically, so that the image needs neither a base image nor a toolchain:
# deploy/container/build does both steps and says which tag it made.
#
# The README has the commands, from here to the first event; config/container.toml is an example of the configuration. What is mounted
# into it (the configuration, secrets) has to be readable for the user below.
FROM scratch

COPY target/container/root/ /
# The ledger's directory belongs to the user below, and so does a fresh volume there.
COPY --chown=65532:65532 target/container/owned/ /var/lib/

USER 65532:65532
VOLUME ["/var/lib/xdrelay"]
EXPOSE 9464
# SIGTERM delivers what is in the air and closes the ledger; it is PID 1 and needs no init.
STOPSIGNAL SIGTERM
# Asks by the control socket, without the port and its token. Opening a large ledger, or making a damaged one again, takes minutes.
HEALTHCHECK --interval=30s --timeout=10s --start-period=5m --retries=3 \
  CMD ["/xdrelay", "healthcheck", "-c", "/etc/xdrelay/xdrelay.toml"]
ENTRYPOINT ["/xdrelay"]
CMD ["run", "-c", "/etc/xdrelay/xdrelay.toml"]
