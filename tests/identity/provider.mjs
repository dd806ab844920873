// A certified OAuth server (oidc-provider, npm) at the path of Entra's token endpoint, as strict as that: it verifies secrets,
// signatures, algorithms, audiences, times, and that no assertion comes twice. What Entra asks for beyond the standards is
// added: the thumbprint of a registered certificate, and a short life. Takes its clients as JSON on the command line, listens
// on a free port of loopback, and writes one line of JSON for each thing that happens.
import { createPublicKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import Provider, { errors } from 'oidc-provider';

const { tenant, audience, life, clients } = JSON.parse(process.argv[2]);
const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);
const server = createServer();
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;
const endpoint = `/${tenant}/oauth2/v2.0/token`;
const certificates = new Map();

function registered({ id, secret, algorithm, certificates: paths = [], keys = [] }) {
    const common = { client_id: id, grant_types: ['client_credentials'], redirect_uris: [], response_types: [] };
    if (secret) {
        return { ...common, client_secret: secret, token_endpoint_auth_method: 'client_secret_post' };
    }
    const known = paths.map((path) => new X509Certificate(readFileSync(path)));
    certificates.set(id, known);
    const jwks = known.map((one) => createPublicKey(one.publicKey.export({ type: 'spki', format: 'pem' })).export({ format: 'jwk' }));
    return {
        ...common,
        token_endpoint_auth_method: 'private_key_jwt',
        token_endpoint_auth_signing_alg: algorithm,
        jwks: { keys: [...jwks, ...keys].map((key, index) => ({ ...key, use: 'sig', kid: `${id}-${index}` })) },
    };
}

const thumbprint = (algorithm) => (certificate) =>
    Buffer.from(certificate[algorithm].replaceAll(':', ''), 'hex').toString('base64url');

// What Entra's page on certificate credentials asks for and the standards do not.
function asEntra(_ctx, claims, header, client) {
    const fail = (why) => {
        throw new errors.InvalidClientAuth(why);
    };
    if (header.typ !== 'JWT') fail(`typ is ${header.typ}`);
    if (claims.aud !== issuer + endpoint) fail(`aud is ${claims.aud}, not this server's own endpoint`);
    if (claims.sub !== claims.iss) fail('sub is not iss');
    if (!(claims.nbf <= claims.iat && claims.iat < claims.exp && claims.exp - claims.nbf <= 600)) fail('its life is too long');
    const known = certificates.get(client.clientId);
    if (known.length === 0) return;
    const named = { PS256: ['x5t#S256', 'fingerprint256'], RS256: ['x5t', 'fingerprint'] }[header.alg];
    const index = known.map(thumbprint(named[1])).indexOf(header[named[0]]);
    if (index === -1) fail(`${named[0]} is of no certificate of this client`);
    say({ certificate: index });
}

const provider = new Provider(issuer, {
    clients: clients.map(registered),
    scopes: [`${audience}/.default`],
    routes: { token: endpoint },
    ttl: { ClientCredentials: life },
    clientAuthMethods: ['client_secret_post', 'private_key_jwt'],
    enabledJWA: { clientAuthSigningAlgValues: ['PS256', 'RS256', 'ES256'] },
    assertJwtClientAuthClaimsAndHeader: asEntra,
    extraTokenClaims: () => ({ roles: ['Incident.Read.All'], tid: tenant }),
    features: {
        clientCredentials: { enabled: true },
        devInteractions: { enabled: false },
        resourceIndicators: {
            enabled: true,
            defaultResource: () => audience,
            getResourceServerInfo: () => ({
                scope: `${audience}/.default`,
                accessTokenFormat: 'jwt',
                accessTokenTTL: life,
                jwt: { sign: { alg: 'RS256' } },
            }),
        },
    },
});
provider.on('grant.success', (ctx) => say({ granted: ctx.oidc.client.clientId }));
provider.on('grant.error', (_ctx, error) => say({ refused: `${error.error_detail ?? error.message} ${error.cause ?? ''}` }));
server.on('request', provider.callback());
say({ listening: issuer });
