"""What a pipeline is: tasks, parameters, targets, the graph and the plan. Standard library only; knows no database."""
