"""What a mean distance between paths is compared with: load balance, shuffled layers, random lists, permuted labels."""
