"""What passes between tasks: values as tagged JSON, frames as files, or kept elsewhere."""
