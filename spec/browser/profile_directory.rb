# frozen_string_literal: true

require "fileutils"

# The directory of a browser's profile. Processes that are just being killed may still write into
# it.
module ProfileDirectory
  def self.remove(path, tries = 20)
    FileUtils.rm_r(path)
  rescue SystemCallError
    sleep 0.1
    retry if (tries -= 1).positive?
  end
end
