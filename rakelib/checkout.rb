# frozen_string_literal: true

require "fileutils"
require "open3"

# Copies of a working tree: of the files that are in git, and of those that are to be.
module Checkout
  # @param root [String] the working tree
  # @param into [String] a directory that is made
  # @return [String] the same directory
  def self.copy(root, into)
    listed, = Open3.capture2("git", "ls-files", "-z", "--cached", "--others",
                             "--exclude-standard", chdir: root)
    # What is deleted is listed until that is committed.
    listed.split("\0").select { |name| File.file?(File.join(root, name)) }.each do |name|
      FileUtils.mkdir_p(File.dirname(File.join(into, name)))
      FileUtils.cp(File.join(root, name), File.join(into, name))
    end
    into
  end
end
