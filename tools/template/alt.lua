-- Every formula carries its TeX as alternative text, as PDF/UA asks.
function Math(formula)
  local typst = pandoc.write(pandoc.Pandoc({pandoc.Plain({formula})}), "typst"):gsub("%s+$", "")
  local tex = formula.text:gsub("\\", "\\\\"):gsub('"', '\\"')
  return pandoc.RawInline("typst", '#{ set math.equation(alt: "' .. tex .. '"); ' .. typst .. " }")
end
