-- Whether an order needs attention follows from its open incidents. orders.attention is no longer
-- written; it stays for processes of the version before while versions are exchanged.
CREATE INDEX open_incidents_by_order ON incidents (order_id) WHERE settled_at IS NULL;
