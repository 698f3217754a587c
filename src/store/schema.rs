diesel::table! {
    deployments (id) {
        id -> Text,
        application -> Text,
        environment -> Text,
        version -> Text,
        commit -> Text,
        image_digest -> Text,
        status -> Text,
        actor -> Text,
        started_at -> Timestamp,
        finished_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    idempotency_keys (key) {
        key -> Text,
        request -> Text,
        response -> Text,
        created_at -> Timestamp,
    }
}

diesel::table! {
    __diesel_schema_migrations (version) {
        version -> Text,
    }
}
