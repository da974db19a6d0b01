-- What Markdown does not say by itself, for the pages and for the PDF.
local page = FORMAT:match("html") ~= nil
local sections, title = pandoc.List(), nil
local alone = PANDOC_WRITER_OPTIONS.variables.alone and tostring(PANDOC_WRITER_OPTIONS.variables.alone)

local function quoted(text)
  return '"' .. text:gsub("\\", "\\\\"):gsub('"', '\\"') .. '"'
end

local function raw(text)
  return pandoc.RawBlock(FORMAT, text)
end

-- Notebooks are pages or chapters; a notebook that is alone links to no other. What lies beside a notebook does not lie
-- beside the PDF.
function Link(link)
  local stem, fragment = link.target:match("([^/]+)%.ipynb(.*)$")
  if stem and not link.target:match("^https?:") then
    stem = stem:gsub("%%(%x%x)", function(code) return string.char(tonumber(code, 16)) end):gsub("[^%w_\128-\255-]", "-")
    if alone and stem ~= alone then
      return link.content
    end
    if not page and link.classes:includes("where") then -- on paper a place has a section and a page
      return pandoc.RawInline("typst", "#where(<" .. fragment:sub(2) .. ">)")
    end
    link.target = page and stem .. ".html" .. fragment or "#" .. stem
    return link
  end
  if not page and not link.target:match("^https?:") and not link.target:match("^#") then
    return link.content
  end
end

-- Typst asks for the text in place of a picture as an argument.
function Image(image)
  if not page then
    local alt = image.attributes.alt or pandoc.utils.stringify(image.caption)
    local width = image.attributes.share and ", width: " .. image.attributes.share .. "%" or ""
    return pandoc.RawInline("typst", "#image(" .. quoted(image.src) .. ", alt: " .. quoted(alt) .. width .. ")")
  end
end

-- A chapter has one title, which is the page's, and no other heading of its level; what is below can be linked to.
function Header(header)
  if header.level == 1 and #header.classes == 0 then
    header.level = 2
  end
  if not page then
    return header
  end
  if header.level == 1 then
    title = header.content
    return {}
  end
  if header.level == 2 then
    sections:insert({ id = header.identifier, title = header.content:clone() })
  end
  header.content:insert(pandoc.RawInline("html", '<a class="anchor" href="#' .. header.identifier
                                         .. '" aria-label="Link to this section">#</a>'))
  return header
end

-- The columns of a table: {heading, widest = its longest cell, least = its longest word}, in characters. Each cell
-- learns its heading, for a phone's sake.
local function measured(tab)
  local columns = tab.colspecs:map(function() return { heading = "", widest = 0, least = 0 } end)
  local function each(rows, act)
    for _, row in ipairs(rows) do
      for i, cell in ipairs(row.cells) do
        local text, wide = pandoc.utils.stringify(cell.contents), 1
        cell.contents:walk({ Code = function() wide = 1.3 end })
        for word in text:gmatch("%S+") do
          columns[i].least = math.max(columns[i].least, wide * utf8.len(word))
        end
        act(columns[i], text, cell)
      end
    end
  end
  each(tab.head.rows, function(column, text) column.heading = text end)
  for _, body in ipairs(tab.bodies) do
    each(body.body, function(column, text, cell)
      column.widest = math.max(column.widest, utf8.len(text))
      cell.attributes["data-label"] = column.heading
    end)
  end
  return columns
end

-- A table that is wider than the page scrolls in a box of its own; one of sentences is a list on a phone. In the PDF
-- its columns get room by the root of what they hold: a sentence may be broken, a number should not be.
function Table(tab)
  local columns, width, total = measured(tab), 0, 0
  for _, column in ipairs(columns) do
    width = width + column.widest + 3
    column.room = math.max(column.least + 3, 3.2 * math.sqrt(math.max(column.widest, utf8.len(column.heading))))
    total = total + column.room
  end
  if page then
    return pandoc.Div(tab, { class = width > 75 and "box cards" or "box" })
  end
  if width > 108 then -- characters of a line
    for i, column in ipairs(columns) do
      tab.colspecs[i][2] = column.room / total
    end
  end
  return tab
end

-- The mark of an undecided seed is a dot as large as the others, in grey.
local function undecided(str)
  local others, count = str.text:gsub("·", ""), select(2, str.text:gsub("·", "●"))
  if count > 0 and not others:gsub("●", ""):gsub("○", ""):match("%S") then
    local dots = ("●"):rep(count)
    return { pandoc.Str(others), page and pandoc.Span(dots, { class = "open" })
             or pandoc.RawInline("typst", "#text(fill: luma(60%))[" .. dots .. "]") }
  end
end

-- Code is folded away on a page and left out of the PDF, but for what is shown on purpose.
function Div(div)
  local only = div.attributes.only
  if only and (only == "page") ~= page then
    return {}
  end
  if div.classes:includes("verdict") or div.classes:includes("verdicts") then
    div = div:walk({ Str = undecided })
  end
  if div.attributes.widths then -- of a table's columns, in percent
    local widths = div.attributes.widths
    div = div:walk({ Table = function(tab)
      local column = 0
      for width in widths:gmatch("%d+") do
        column = column + 1
        tab.colspecs[column][2] = tonumber(width) / 100
      end
      return tab
    end })
    div.attributes.widths = nil
    return div
  end
  local styled = { shown = true, verdict = true }
  if not page and styled[div.classes[1]] then -- functions of report.typ
    return { raw("#" .. div.classes[1] .. "["), div, raw("]") }
  end
  if div.classes:includes("code") then
    local fold = '<details class="code"><summary>' .. (div.attributes.label or "Code") .. "</summary>"
    return page and { raw(fold), div, raw("</details>") } or {}
  end
end

-- Every formula of the PDF carries its TeX as alternative text, as PDF/UA asks.
function Math(formula)
  if not page then
    local typst = pandoc.write(pandoc.Pandoc({ pandoc.Plain({ formula }) }), "typst"):gsub("%s+$", "")
    typst = typst:gsub("dot%.circle", "dot.o") -- its name since Typst 0.14, which this pandoc does not know yet
    return pandoc.RawInline("typst", "#{ set math.equation(alt: " .. quoted(formula.text) .. "); " .. typst .. " }")
  end
end

-- On paper a line or two that lead to a figure or a table stand with it.
local function led(blocks)
  local found = pandoc.List()
  for i, block in ipairs(blocks) do
    local after = blocks[i + 1]
    local leads = block.t == "Para" and after and (after.t == "Figure" or after.t == "Table")
                  and utf8.len(pandoc.utils.stringify(block)) < 250
    found:extend(leads and { raw("#lead["), block, raw("]") } or { block })
  end
  return found
end

function Pandoc(doc)
  doc.blocks = page and doc.blocks or led(doc.blocks)
  doc.meta.sections = sections
  doc.meta.title = title or doc.meta.title
  return doc
end
