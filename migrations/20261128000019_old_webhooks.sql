-- Webhooks that were acted on, by when, for deleting old ones.
CREATE INDEX inbox_processed ON stripe_inbox (processed_at) WHERE processed_at IS NOT NULL;
