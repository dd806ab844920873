# The binary, the authorities that it trusts, an empty ledger directory, and nothing else: no shell, no libc, no packages.
#
# The binary is built outside, statically, so that the image needs neither a base image nor a toolchain:
# deploy/container/build does both steps and says which tag it made.
#
#   docker run --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
#     -v xdrelay-state:/var/lib/xdrelay -v ./xdrelay.toml:/etc/xdrelay/xdrelay.toml:ro \
#     -v ./contoso.secret:/run/secrets/contoso:ro -v ./admin.token:/run/secrets/admin:ro -p 127.0.0.1:9464:9464 xdrelay
#
# config/container.toml is an example of the configuration.
FROM scratch

COPY target/container/root/ /
# The ledger's directory belongs to the user below, and so does a fresh volume there.
COPY --chown=65532:65532 target/container/owned/ /var/lib/

USER 65532:65532
VOLUME ["/var/lib/xdrelay"]
EXPOSE 9464
# SIGTERM delivers what is in the air and closes the ledger; it is PID 1 and needs no init.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/xdrelay"]
CMD ["run", "-c", "/etc/xdrelay/xdrelay.toml"]
