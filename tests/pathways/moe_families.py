"""Tiny random models of the families that transformers ships, and their routing by the published definitions."""

import torch

SMALL = {
    "vocab_size": 40,
    "hidden_size": 32,
    "intermediate_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": None,
    "num_experts_per_tok": 2,
}
LATENT = {"kv_lora_rank": 8, "q_lora_rank": 8, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8}
DEEPSEEK = {
    **SMALL,
    **LATENT,
    "num_key_value_heads": 4,
    "moe_intermediate_size": 16,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "num_experts_per_tok": 3,
    "n_group": 4,
    "topk_group": 2,
    "first_k_dense_replace": 1,
    "routed_scaling_factor": 2.5,
}
QWEN = {**SMALL, "moe_intermediate_size": 16, "num_experts": 6}

#: Prefix of the classes, settings, names of the MoE layers' routers.
FAMILIES = {
    "Olmoe": ({**SMALL, "num_experts": 6, "norm_topk_prob": False}, [f"model.layers.{i}.mlp.gate" for i in range(3)]),
    "Mixtral": ({**SMALL, "num_local_experts": 5}, [f"model.layers.{i}.mlp.gate" for i in range(3)]),
    "Qwen2Moe": (
        {**QWEN, "shared_expert_intermediate_size": 16, "decoder_sparse_step": 2},
        ["model.layers.1.mlp.gate"],
    ),
    "Qwen3Moe": (
        {**QWEN, "norm_topk_prob": True, "mlp_only_layers": [1], "head_dim": 8},
        ["model.layers.0.mlp.gate", "model.layers.2.mlp.gate"],
    ),
    "DeepseekV2": (
        {**DEEPSEEK, "topk_method": "group_limited_greedy"},
        ["model.layers.1.mlp.gate", "model.layers.2.mlp.gate"],
    ),
    "DeepseekV3": (DEEPSEEK, ["model.layers.1.mlp.gate", "model.layers.2.mlp.gate"]),
    "GptOss": (
        {**SMALL, "num_local_experts": 6, "head_dim": 8, "sliding_window": 4},
        [f"model.layers.{i}.mlp.router" for i in range(3)],
    ),
    "Phimoe": ({**SMALL, "num_local_experts": 6}, [f"model.layers.{i}.mlp.router" for i in range(3)]),
    "GraniteMoe": ({**SMALL, "num_local_experts": 6}, [f"model.layers.{i}.block_sparse_moe.router" for i in range(3)]),
    "JetMoe": (
        {key: value for key, value in SMALL.items() if key != "num_attention_heads"}
        | {"num_local_experts": 6, "kv_channels": 8},
        [f"model.layers.{i}.mlp.router" for i in range(3)],
    ),
    "SwitchTransformers": (
        {
            "vocab_size": 40,
            "d_model": 32,
            "d_kv": 8,
            "d_ff": 16,
            "num_layers": 4,
            "num_sparse_encoder_layers": 2,
            "num_decoder_layers": 4,
            "num_sparse_decoder_layers": 2,
            "num_heads": 4,
            "num_experts": 5,
            "expert_capacity": 3,
            "decoder_start_token_id": 0,
            "eos_token_id": None,
        },
        [f"encoder.block.{i}.layer.1.mlp.router" for i in (1, 3)],
    ),
}


def build(family, dtype=torch.float32, seed=0, **settings):
    """Return a model in evaluation mode whose routers have logits of order one, with random biases."""
    import transformers

    kind = "ForConditionalGeneration" if family == "SwitchTransformers" else "ForCausalLM"
    torch.manual_seed(seed)
    config = getattr(transformers, f"{family}Config")(**FAMILIES[family][0] | settings)
    model = getattr(transformers, family + kind)(config).eval()
    with torch.no_grad():
        for name, module in model.named_modules():
            if name.endswith(("gate", "router")):
                for value in [*module.parameters(), *module.buffers()]:
                    value.normal_(std=1.0 if value.ndim > 1 else 0.3)
    return model.to(dtype)


def routed_by_hand(family, router, hidden, settings):
    """Return gates (N, K), executed experts (N, k), largest weight first, and weights of hidden states (B, T, d)."""
    if family == "SwitchTransformers":
        return switch(router, hidden, settings["expert_capacity"])
    flat, k = hidden.reshape(-1, hidden.shape[-1]), settings["num_experts_per_tok"]
    weight = router.layer.weight if family == "JetMoe" else router.weight
    logits = flat @ weight.T + (router.bias if family == "GptOss" else 0)
    gates = logits.exp() / logits.exp().sum(1, keepdim=True)
    if family in ("Olmoe", "Qwen2Moe", "DeepseekV2"):  # weights are probabilities as they are
        allowed = group_mask(gates, settings, 1) if family == "DeepseekV2" else torch.ones_like(gates)
        weights, selected = (gates * allowed).sort(1, descending=True)
        return gates, selected[:, :k], weights[:, :k] * settings.get("routed_scaling_factor", 1)
    if family == "DeepseekV3":
        scores = 1 / (1 + (-logits).exp())
        choice = scores + router.e_score_correction_bias
        allowed = group_mask(choice, settings, 2)
        selected = choice.masked_fill(allowed == 0, -torch.inf).sort(1, descending=True)[1][:, :k]
        weights = scores.gather(1, selected)
        weights, order = (2.5 * weights / weights.sum(1, keepdim=True)).sort(1, descending=True)
        return scores / scores.sum(1, keepdim=True), selected.gather(1, order), weights
    if family == "Phimoe":
        return (gates, *sparse_mixer(logits))
    weights, selected = logits.sort(1, descending=True)  # softmax over the executed experts alone
    weights = weights[:, :k].exp()
    return gates, selected[:, :k], weights / weights.sum(1, keepdim=True)


def group_mask(scores, settings, best):
    """Keep the groups with the largest sum of their best scores."""
    groups, kept = settings["n_group"], settings["topk_group"]
    mask = torch.zeros_like(scores)
    size = scores.shape[1] // groups
    for token, row in enumerate(scores):
        of_group = [sum(sorted(row[g * size : (g + 1) * size].tolist())[-best:]) for g in range(groups)]
        for g in sorted(range(groups), key=lambda g: -of_group[g])[:kept]:
            mask[token, g * size : (g + 1) * size] = 1
    return mask


def sparse_mixer(logits, jitter=0.01):
    """SparseMixer-v2 in evaluation: each choice is weighed among the experts whose logits come close to it."""
    rows = []
    for row in logits.tolist():
        weights, chosen = [], []
        for _ in range(2):
            left = [expert for expert in range(len(row)) if expert not in chosen]
            best = max(left, key=lambda expert: row[expert])
            near = [e for e in left if (row[best] - row[e]) / max(abs(row[e]), row[best]) <= 2 * jitter]
            part = torch.tensor([row[expert] for expert in near]).softmax(0)
            weights.append(float(part[near.index(best)]))
            chosen.append(best)
        order = sorted(range(2), key=lambda place: -weights[place])
        rows.append(([chosen[place] for place in order], [weights[place] for place in order]))
    return torch.tensor([row[0] for row in rows]), torch.tensor([row[1] for row in rows])


def switch(router, hidden, capacity):
    """Each expert takes the first tokens of a sequence that want it, as many as its capacity."""
    gates = (hidden @ router.classifier.weight.T).softmax(-1)
    selected = torch.full(hidden.shape[:2], -1)
    for row, of_row in enumerate(gates):
        taken = [0] * gates.shape[-1]
        for column, gate in enumerate(of_row):
            expert = int(gate.argmax())
            if taken[expert] < capacity:
                selected[row, column] = expert
            taken[expert] += 1
    weights = gates.max(-1).values.masked_fill(selected < 0, 0)
    return gates.flatten(0, 1), selected.reshape(-1, 1), weights.reshape(-1, 1)


def inputs_of(family, rows=3, columns=8, seed=1, encoder=True):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(2, 40, (rows, columns), generator=generator)
    if family == "SwitchTransformers":
        return {"input_ids": ids, "decoder_input_ids": ids.flip(1)}
    return {"input_ids": ids}


def entropy(gates):
    return -(gates * gates.log()).sum(1)
