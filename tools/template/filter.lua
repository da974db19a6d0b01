-- What Markdown does not say by itself, for the pages and for the PDF.
local page = FORMAT:match("html") ~= nil
local sections, title, chapters = pandoc.List(), nil, 0
local LONG = 6 -- lines of code, which need not stand with their output
local alone = PANDOC_WRITER_OPTIONS.variables.alone and tostring(PANDOC_WRITER_OPTIONS.variables.alone)

local function quoted(text)
  return '"' .. text:gsub("\\", "\\\\"):gsub('"', '\\"') .. '"'
end

local function raw(text)
  return pandoc.RawBlock(FORMAT, text)
end

-- Notebooks are pages or chapters; a notebook that is alone links to no other. What lies beside a notebook does not lie
-- beside the PDF, and what lies outside its folder does not lie where its page is copied to.
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
  if link.target:match("^%.%./") or not page and not link.target:match("^https?:") and not link.target:match("^#") then
    return link.content
  end
  local address, written = link.target:match("^https?://(.*)"), pandoc.utils.stringify(link.content)
  if not page and address and address:sub(-#written) ~= written then -- on paper its address is a footnote
    return { link, pandoc.Note({ pandoc.Plain({ pandoc.Str(address) }) }) }
  end
end

-- Typst asks for the text in place of a picture as an argument. `points` is how wide a picture is where it is not scaled,
-- `printed` another file for paper.
function Image(image)
  if page then
    for _, name in ipairs({ "points", "printed", "printed-points", "printed-tall" }) do
      image.attributes[name] = nil
    end
    return image
  else
    local alt = image.attributes.alt or pandoc.utils.stringify(image.caption)
    local share, points = image.attributes.share, image.attributes["printed-points"] or image.attributes.points
    local tall = image.attributes["printed-tall"]
    local width = points and ", width: " .. points .. " * point" or share and ", width: " .. share .. "%" or ""
    local printed = image.attributes.printed
    local call = (printed and "#narrow(" or "#image(") .. quoted(printed or image.src) .. ", alt: " .. quoted(alt)
    local typst = pandoc.RawInline("typst", call .. width .. (tall and ", tall: " .. tall or "") .. ")")
    return pandoc.Span({ typst }, { tall = tall }) -- `room` asks for it
  end
end

-- A chapter has one title, which is the page's, and no other heading of its level; what is below can be linked to.
function Header(header)
  if header.level == 1 and #header.classes == 0 then
    header.level = 2
  end
  if not page then
    if header.level > 1 then
      return header
    end
    chapters = chapters + 1
    return { raw("#let point = chapter(" .. chapters - 1 .. ")"), header } -- how large one of its figures' is
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

-- The columns of a table: {heading, widest = its longest cell, least = its longest word}, in characters.
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
        act(columns[i], text)
      end
    end
  end
  each(tab.head.rows, function(column, text) column.heading = text end)
  for _, body in ipairs(tab.bodies) do
    each(body.body, function(column, text)
      column.widest = math.max(column.widest, utf8.len(text))
    end)
  end
  return columns
end

-- A table that is wider than the page scrolls in a box of its own; on a phone one with two columns of sentences does,
-- too. In the PDF its columns get room by the root of what they hold: a sentence may be broken, a number should not be.
function Table(tab)
  local columns, width, total, long = measured(tab), 0, 0, 0
  for _, column in ipairs(columns) do
    width = width + column.widest + 3
    local longest = math.max(column.widest, utf8.len(column.heading))
    column.room = math.max(column.least + 3, 3.2 * math.sqrt(longest))
    long = long + (column.widest > 24 and 1 or 0)
    if longest < 14 then -- of words or numbers: it gets what it needs, and the others share what is left
      column.room, column.fixed = 0, math.max(column.widest, column.least) + 3
    end
    total = total + column.room
  end
  if page then
    return pandoc.Div(tab, { class = #columns > 2 and width > 75 and long > 1 and "box broad" or "box" })
  end
  if width > 108 then -- characters of a line
    local left = 1
    for _, column in ipairs(columns) do
      left = left - (column.fixed or 0) / 108
    end
    for i, column in ipairs(columns) do
      tab.colspecs[i][2] = column.fixed and column.fixed / 108 or left * column.room / total
    end
  end
  return tab
end

-- Code is folded away on a page and left out of the PDF, but for what is shown on purpose.
function Div(div)
  local only = div.attributes.only
  if only and (only == "page") ~= page then
    return {}
  end
  if only and not page and #div.classes == 0 and div.identifier == "" then
    return div.content -- so that what leads to it is seen
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
    typst = typst:gsub("\\| (.-) \\|", "abs(%1)")
    typst = typst:gsub("dot%.circle", "dot.o") -- its name since Typst 0.14, which this pandoc does not know yet
    return pandoc.RawInline("typst", "#{ set math.equation(alt: " .. quoted(formula.text) .. "); " .. typst .. " }")
  end
end

-- An apostrophe after a letter is a curved one, and a range of numbers has a dash.
function Str(str)
  local text = str.text:gsub("^'s", "’s"):gsub("([%a\128-\255])'", "%1’"):gsub("^(%(?%d+)%-(%d+%p?)$", "%1–%2")
  return text ~= str.text and pandoc.Str(text) or nil
end

-- What is multiplied or divided by stands beside its sign, and the number of a chapter beside its name.
local function joins(text)
  return text:match("×$") or text:match("÷$") or text:match("[Cc]hapter$")
end

function Inlines(inlines)
  for i = 2, #inlines do
    local before = inlines[i - 1]
    if inlines[i].t == "Space" and before.t == "Str" and joins(before.text) then
      inlines[i] = pandoc.Str("\u{a0}")
    end
  end
  return inlines
end

-- The characters of a paragraph; of any other block, none.
local function length(block)
  return block and block.t == "Para" and utf8.len(pandoc.utils.stringify(block))
end

-- Whether a block is what a function of report.typ begins with.
local function begins(block, name)
  return block and block.t == "RawBlock" and block.text == "#" .. name .. "["
end

-- On paper what leads to something stands with it: a sentence with a colon, a line or two before a figure, a table, code
-- or a verdict, and a small table before the line or two on it.
local function leads(block, after)
  if not after then
    return false
  end
  if block.t == "Table" then
    return #block.bodies[1].body < 9 and (begins(after, "verdict") or (length(after) or 250) < 250)
  end
  local shown = ({ Figure = true, Table = true, CodeBlock = true })[after.t] or begins(after, "shown") or begins(after, "verdict")
  return length(block) and (pandoc.utils.stringify(block):match(":$") or shown and length(block) < 250)
end

-- A list that is short is not parted.
local function whole(block)
  return (block.t == "OrderedList" or block.t == "BulletList") and utf8.len(pandoc.utils.stringify(block)) < 900
end

-- The lines of text that a figure has room for beside it on paper, where it is narrow; else nil.
local function room(figure)
  local lines
  figure:walk({ Span = function(span)
    lines = span.attributes.tall and span.attributes.tall / 17 or lines
  end })
  return lines
end

-- Blocks for paper: what leads is kept with what it leads to, and beside a narrow figure the text goes on.
local function led(blocks)
  local found, i = pandoc.List(), 1
  while i <= #blocks do
    local block, lines = blocks[i], blocks[i].t == "Figure" and room(blocks[i])
    if lines then
      local beside = pandoc.List()
      lines = lines - utf8.len(pandoc.utils.stringify(block.caption.long)) / 50 - 1
      while length(blocks[i + 1]) and length(blocks[i + 1]) / 50 < lines do
        local formula = leads(blocks[i + 1], blocks[i + 2]) -- goes with what leads to it
        if formula and not (length(blocks[i + 2]) and length(blocks[i + 1]) / 50 + 4 < lines) then
          break
        end
        for _ = 1, formula and 2 or 1 do
          i = i + 1
          beside:insert(blocks[i])
          lines = lines - length(blocks[i]) / 50 - 1
        end
      end
      found:extend({ raw("#beside["), block, raw("]["), pandoc.Div(beside), raw("]") })
    elseif leads(block, blocks[i + 1]) then
      found:extend({ raw("#lead["), block, raw("]") })
    elseif whole(block) then
      found:extend({ raw("#whole["), block, raw("]") })
    elseif begins(block, "shown") then
      local output = blocks[i + 3] and ({ CodeBlock = true, Figure = true, Table = true })[blocks[i + 3].t]
      local _, breaks = blocks[i + 1].content[1].text:gsub("\n", "")
      found:insert(output and breaks < LONG and block or raw("#["))
    else
      found:insert(block)
    end
    i = i + 1
  end
  return found
end

function Pandoc(doc)
  doc.blocks = page and doc.blocks or led(doc.blocks)
  doc.meta.sections = sections
  doc.meta.title = title or doc.meta.title
  return doc
end
