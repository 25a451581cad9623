"""The policy: how a base is opened, batched, adapted, sharded, asked for log-probs, and exported as a judge."""
