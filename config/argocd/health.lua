-- The health of a JupicoCredential. The script of argocd-cm.yaml is this one.
local health = {status = "Progressing", message = "Waiting for the operator to look at the present spec."}
if obj.status == nil or obj.status.conditions == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return health
end
local holds = {}
for _, condition in ipairs(obj.status.conditions) do
  holds[condition.type] = condition.status == "True"
  if condition.type == "Ready" then
    health.message = condition.message
  end
end
if obj.spec.suspend then
  health.status = "Suspended"
elseif holds.Stalled then
  health.status = "Degraded"
elseif holds.Ready and not holds.Reconciling then
  health.status = "Healthy"
end
return health
