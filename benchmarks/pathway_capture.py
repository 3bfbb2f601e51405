"""What capture of routing costs: one pass of an OLMoE with it and without, in one run.

python benchmarks/pathway_capture.py
"""

import statistics
import time

import torch
from transformers import OlmoeConfig, OlmoeForCausalLM

from genbounds.pathways import record_routing


def main(passes: int = 9) -> None:
    """Print one line: CPU-seconds of a plain pass and of a recorded one, and the median ratio of neighbours."""
    torch.manual_seed(0)
    config = OlmoeConfig(
        vocab_size=1000,
        hidden_size=256,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        num_experts=16,
        num_experts_per_tok=4,
        pad_token_id=0,
    )
    model = OlmoeForCausalLM(config).eval()
    inputs = {"input_ids": torch.randint(1, 1000, (16, 128)), "attention_mask": torch.ones(16, 128, dtype=torch.long)}
    plain, recorded = [], []
    with torch.no_grad():
        model(**inputs)
        for _ in range(passes):
            start = time.process_time()
            model(**inputs)
            plain.append(time.process_time() - start)
            with record_routing(model) as recorder:
                start = time.process_time()
                model(**inputs)
                recorded.append(time.process_time() - start)
            recorder.routing()
    ratio = statistics.median(two / one for one, two in zip(plain, recorded, strict=True))
    times = f"{statistics.median(plain):.3f} s | {statistics.median(recorded):.3f} s"
    print(f"| capture of routing, 4 layers of 16 experts, 2,048 tokens | {times} | {ratio:.3f} times |")


if __name__ == "__main__":
    main()
