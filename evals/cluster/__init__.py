"""Work on the nodes of a Ray cluster; ledger, budget, order and files stay with the driver."""
