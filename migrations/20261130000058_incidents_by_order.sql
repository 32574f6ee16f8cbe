-- Whether an order needs attention follows from its open incidents. orders.attention is no longer
-- written. The column stays, because processes of the version before still read it.
CREATE INDEX open_incidents_by_order ON incidents (order_id) WHERE settled_at IS NULL;
