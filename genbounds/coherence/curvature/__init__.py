"""What needs second derivatives: influence of examples, and how far the Hessians of two data sets agree."""
