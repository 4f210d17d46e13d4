"""What each kind of workflow request does, step by step; `workflow.run` chooses among them."""
