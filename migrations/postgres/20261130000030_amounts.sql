
ALTER TABLE tickets
    DROP CONSTRAINT tickets_price_minor_check,
    DROP CONSTRAINT tickets_face_value_minor_check,
    ADD CONSTRAINT tickets_price_minor_check CHECK (price_minor >= 0),
    ADD CONSTRAINT tickets_face_value_minor_check CHECK (face_value_minor >= 0);
ALTER TABLE order_lines
    DROP CONSTRAINT order_lines_price_minor_check,
    ADD CONSTRAINT order_lines_price_minor_check CHECK (price_minor >= 0);
ALTER TABLE orders
    DROP CONSTRAINT orders_total_minor_check,
    ADD CONSTRAINT orders_total_minor_check CHECK (total_minor >= 0);
ALTER TABLE refund_lines
    DROP CONSTRAINT refund_lines_amount_minor_check,
    ADD CONSTRAINT refund_lines_amount_minor_check CHECK (amount_minor >= 0);
