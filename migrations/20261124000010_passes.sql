-- The keys that tickets' passes are signed with. They are here, so that all processes of a shop and
-- every restored backup share them: whoever can read this table can make passes.

CREATE TABLE pass_keys (
    -- Eight hex digits, the start of the public key's SHA-256. Every pass names it.
    id          TEXT PRIMARY KEY,
    -- Ed25519, both base64url: 32 bytes, and PKCS#8.
    public_key  TEXT   NOT NULL,
    private_key TEXT   NOT NULL,
    -- 1 for the one that signs. The others only check what they have signed before.
    signs       BIGINT NOT NULL CHECK (signs IN (0, 1)),
    created_at  BIGINT NOT NULL
);

CREATE UNIQUE INDEX one_key_signs ON pass_keys (signs) WHERE signs = 1;
