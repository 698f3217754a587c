-- Times are UTC. Ids are UUIDv7, so ordering by id is ordering by creation.
CREATE TABLE deployments (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    application TEXT NOT NULL,
    environment TEXT NOT NULL,
    version TEXT NOT NULL,
    "commit" TEXT NOT NULL,
    image_digest TEXT NOT NULL,
    status TEXT NOT NULL,
    actor TEXT NOT NULL,
    started_at TIMESTAMP NOT NULL,
    finished_at TIMESTAMP
);

CREATE INDEX deployments_place ON deployments (application, environment, id);
CREATE INDEX deployments_commit ON deployments ("commit", id);

-- What was asked and answered under an Idempotency-Key; both as JSON. Deliberately no foreign key: a replay answers
-- what the first request answered, even when the deployment is gone.
CREATE TABLE idempotency_keys (
    key TEXT NOT NULL PRIMARY KEY,
    request TEXT NOT NULL,
    response TEXT NOT NULL,
    created_at TIMESTAMP NOT NULL
);

CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);
