-- What a seller looks at: their tickets by event, their sales by time, their tickets' refunds.

CREATE INDEX tickets_by_seller_and_event ON tickets (seller_id, event_id, id);
CREATE INDEX ledger_sales ON ledger (seller_id, created_at) WHERE kind = 'capture' AND seller_id IS NOT NULL;
CREATE INDEX refund_lines_by_ticket ON refund_lines (ticket_id);
