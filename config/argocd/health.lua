-- The health of a JupicoCredential. health.lua and argocd-cm.yaml contain the same script.
local health = {status = "Progressing", message = "Waiting for the operator to observe the current spec."}
if obj.status == nil or obj.status.conditions == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return health
end
local is_true = {}
for _, condition in ipairs(obj.status.conditions) do
  is_true[condition.type] = condition.status == "True"
  if condition.type == "Ready" then
    health.message = condition.message
  end
end
if obj.spec.suspend then
  health.status = "Suspended"
elseif is_true.Stalled then
  health.status = "Degraded"
elseif is_true.Ready and not is_true.Reconciling then
  health.status = "Healthy"
end
return health
